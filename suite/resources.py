"""What the options of samples stand for: key sets, folders of secrets, an etcd, a receiver."""

import contextlib
import http.server
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from suite.table import Sample
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.folder import new_protection
from tor_async_etcd.testing import EtcdServer


@contextlib.contextmanager
def _key_set() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        signing.new_key_set(path)
        yield str(path)


@contextlib.contextmanager
def _protection() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "protection"
        new_protection(path)
        yield str(path)


@contextlib.contextmanager
def _etcd() -> Iterator[str]:
    with EtcdServer() as server:
        yield server.url


class _Accept(http.server.BaseHTTPRequestHandler):
    """Accepts what it is sent."""

    def do_POST(self) -> None:
        """Called by the server for each notice."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
        """Called by the server for each line of its log, which nobody needs."""


@contextlib.contextmanager
def _webhook() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Accept) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/notices"
        server.shutdown()


_RESOURCES: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    "key_set": _key_set,
    "protection": _protection,
    "etcd": _etcd,
    "webhook": _webhook,
}


@contextlib.contextmanager
def resources_of(sample: Sample) -> Iterator[dict[str, str]]:
    """What the sample's options name in braces, by these names; it is removed at the end."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(make())
            for name, make in _RESOURCES.items()
            if any(f"{{{name}}}" in option for option in sample.options)
        }


def filled(options: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """The options, with each name in braces replaced by its value.

    Raises:
        KeyError: an option has a name that is not among the values.
    """
    return tuple(option.format_map(values) for option in options)
