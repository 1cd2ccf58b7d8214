"""The HTTP server of a service: its connections, and how all of them are closed."""

import socket
import ssl
import weakref
from collections.abc import Sequence
from typing import Any

import tornado.httpserver
from tornado.iostream import IOStream

from tor_async_service.app.application import ServiceApplication

# A client that stalls in the middle of a request must not hold its connection for ever.
_BODY_TIMEOUT_S = 30.0
_IDLE_CONNECTION_TIMEOUT_S = 600.0


class Server(tornado.httpserver.HTTPServer):
    """A server that can close all its connections at one moment."""

    def initialize(self, *arguments: Any, **options: Any) -> None:
        """Called by Tornado, which has no constructors for servers."""
        super().initialize(*arguments, **options)
        self._streams: weakref.WeakSet[IOStream] = weakref.WeakSet()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Called by Tornado for each connection."""
        self._streams.add(stream)
        super().handle_stream(stream, address)

    def use(self, context: ssl.SSLContext) -> None:
        """Offers this certificate to the connections that are accepted from now on."""
        self.ssl_options = context

    def close_now(self) -> None:
        """Closes all connections before any of them takes another request."""
        for stream in [*self._streams]:
            stream.close()


def serve(
    app: ServiceApplication, sockets: Sequence[socket.socket], context: ssl.SSLContext | None = None
) -> Server:
    """The server of an application, which accepts connections on `sockets`; by TLS if there is a context."""
    server = Server(
        app,
        ssl_options=context,
        body_timeout=_BODY_TIMEOUT_S,
        idle_connection_timeout=_IDLE_CONNECTION_TIMEOUT_S,
    )
    server.add_sockets(sockets)
    return server
