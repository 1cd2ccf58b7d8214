"""The life of a service, from its command line to its exit status."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tornado.httpserver
import tornado.netutil
import uvloop
from tornado.iostream import IOStream

from tor_async_couchdb.actions.inspect import AsyncCouchDBHealthCheck
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.traced import TracedDatabase
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.model import timestamps
from tor_async_service.app import options
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.app.options import Configuration, GuardOptions, Option
from tor_async_service.events import EventLog
from tor_async_service.metrics import ServiceMetrics

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_DRAIN_TIMEOUT_S = 10.0
_STANDARD_ERROR = 2  # the highest number of a standard stream
# A client that stalls in the middle of a request must not hold its connection for ever.
_BODY_TIMEOUT_S = 30.0
_IDLE_CONNECTION_TIMEOUT_S = 600.0
# Python's default is 700, less than a hundred requests in flight allocate: collections took a tenth of the
# time.
_ALLOCATIONS_PER_COLLECTION = 50_000

_logger = logging.getLogger(__name__)


class _Server(tornado.httpserver.HTTPServer):
    """A server that can close all its connections at one moment."""

    def initialize(self, *arguments: Any, **options: Any) -> None:
        """Called by Tornado, which has no constructors for servers."""
        super().initialize(*arguments, **options)
        self._streams: weakref.WeakSet[IOStream] = weakref.WeakSet()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Called by Tornado for each connection."""
        self._streams.add(stream)
        super().handle_stream(stream, address)

    def close_now(self) -> None:
        """Closes all connections before any of them takes another request."""
        for stream in [*self._streams]:
            stream.close()


# Gets the database, the service's own options by their names, and the chassis' `parts`.
MakeApp = Callable[..., ServiceApplication]


def run(make_app: MakeApp, description: str, *own_options: Option, guard: GuardOptions | None = None) -> None:
    """Runs a service until SIGTERM or SIGINT, and ends the process with status 0.

    `guard` says how the database's guard is made; its options are on the command line, too. If the port is in
    use the process ends with one line and status 1, after a wrong option with status 2. SIGHUP is ignored.
    """
    _end_on_signals_while_starting()
    _open_standard_streams()
    guard_options = () if guard is None else guard.options
    all_options = {option.name: option for option in (*guard_options, *own_options)}
    configuration = options.parse(description, own_options=tuple(all_options.values()))
    _configure_logging()
    _set_clock(configuration.clock_offset_s)
    try:
        sockets = tornado.netutil.bind_sockets(configuration.port, configuration.ip)
    except OSError as error:
        sys.exit(f"can't listen on {configuration.ip} port {configuration.port}: {error.strerror}")
    database_guard = None if guard is None else guard.make(**_values(guard.options, configuration))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        own = _values(own_options, configuration)
        runner.run(_serve(make_app, own, configuration, database_guard, sockets))


def _values(own_options: Sequence[Option], configuration: Configuration) -> dict[str, Any]:
    return {option.name: configuration.own[option.name] for option in own_options}


def _end_on_signals_while_starting() -> None:
    """Ends the process at once with status 0: before the service runs, nothing needs a graceful end."""
    for number in _ENDING_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _open_standard_streams() -> None:
    """Opens the null device for each standard stream that is closed.

    Else a socket gets the number of the stream, and libuv refuses to close it.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= _STANDARD_ERROR:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


async def _serve(
    make_app: MakeApp,
    own: Mapping[str, Any],
    configuration: Configuration,
    guard: Guard | None,
    sockets: list[socket.socket],
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    metrics = ServiceMetrics()
    # Without events nothing is measured for them.
    database_class, events = (TracedDatabase, EventLog()) if configuration.has_events else (Database, None)
    async with database_class(
        configuration.database_url,
        username=configuration.username,
        password=configuration.password,
        guard=guard,
        observer=metrics,
    ) as database:
        app = make_app(database, **own, parts=Parts(configuration.deadline_s, metrics, events))
        server = _Server(
            app,
            xheaders=True,
            body_timeout=_BODY_TIMEOUT_S,
            idle_connection_timeout=_IDLE_CONNECTION_TIMEOUT_S,
        )
        server.add_sockets(sockets)
        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        ip, port = sockets[0].getsockname()[:2]
        host = f"[{ip}]" if ":" in ip else ip
        _logger.info(
            "service started and listening on http://%s:%d talking to database %s", host, port, database.url
        )
        tasks = [asyncio.create_task(work()) for work in app.background_work]
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())  # background work only ends with an error
        checking = asyncio.create_task(_warn_if_unusable(database))
        _tune_garbage_collection()
        await stop.wait()
        await _drain(server, app)
        await _end([checking, *tasks])
    for number in _ENDING_SIGNALS:  # the process ends now, with its own status
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _set_clock(offset_s: float) -> None:
    if offset_s:
        timestamps.set_clock_offset(offset_s)
        _logger.warning("the clock of this process is %g s fast, as CLOCK_OFFSET_S says", offset_s)


async def _warn_if_unusable(database: Database) -> None:
    """Logs a warning if the database can't be used. The service runs on, and recovers with the database."""
    try:
        await AsyncCouchDBHealthCheck(database=database).check()
    except CouchDBError as error:
        _logger.warning("database %s can't be used: %s", database.url, error)


def _tune_garbage_collection() -> None:
    """Collects rarely, and never examines the objects that live as long as the service."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)


async def _drain(server: _Server, app: ServiceApplication) -> None:
    app.service.drain.start()
    server.stop()
    _logger.info("Shutting down ...")
    cut_off = await app.service.drain.wait(_DRAIN_TIMEOUT_S)
    server.close_now()
    if cut_off:
        _logger.warning("%d requests were still in flight after %.0f s", cut_off, _DRAIN_TIMEOUT_S)
    await server.close_all_connections()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _configure_logging() -> None:
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03d+00:00 %(levelname)s %(module)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    # The log lines do not show these, so they need not be looked up for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.NullHandler() if sys.stdout is None else logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
