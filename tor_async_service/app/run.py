"""The life of a service, from its command line to its exit status."""

import asyncio
import functools
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tornado.netutil
import uvloop

from tor_async_couchdb.actions.inspect import AsyncCouchDBHealthCheck
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.traced import TracedDatabase
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.model import timestamps
from tor_async_service.app import logs, options, systemd, tls
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.app.background import Background
from tor_async_service.app.options import Configuration, GuardOptions, Option
from tor_async_service.app.server import serve
from tor_async_service.app.shutdown import ENDING_SIGNALS, Shutdown
from tor_async_service.events import EventLog
from tor_async_service.metrics import ServiceMetrics

_STANDARD_ERROR = 2  # the highest number of a standard stream
# Python's default is 700, less than a hundred requests in flight allocate: collections took a tenth of the
# time.
_ALLOCATIONS_PER_COLLECTION = 50_000

_logger = logging.getLogger(__name__)

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
    logs.configure(configuration.log_format, configuration.log_level)
    _set_clock(configuration.clock_offset_s)
    try:
        sockets = tornado.netutil.bind_sockets(configuration.port, configuration.ip)
    except OSError as error:
        sys.exit(f"can't listen on {configuration.ip} port {configuration.port}: {error.strerror}")
    database_guard = None if guard is None else guard.make(**_values(guard.options, configuration))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        own = _values(own_options, configuration)
        runner.run(_serve(make_app, own, configuration, database_guard, sockets))
    configuration.tracer.close()


def _values(own_options: Sequence[Option], configuration: Configuration) -> dict[str, Any]:
    return {option.name: configuration.own[option.name] for option in own_options}


def _end_on_signals_while_starting() -> None:
    """Ends the process at once with status 0: before the service runs, nothing needs a graceful end."""
    for number in ENDING_SIGNALS:
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
    loop = asyncio.get_running_loop()
    certificate = configuration.certificate
    metrics = ServiceMetrics()
    # Without events nothing is measured for them.
    database_class, events = (TracedDatabase, EventLog()) if configuration.has_events else (Database, None)
    async with database_class(
        configuration.database_url,
        login=configuration.login,
        guard=guard,
        observer=metrics,
        tracer=configuration.tracer,
    ) as database:
        parts = Parts(
            configuration.deadline_s,
            metrics,
            configuration.trusted_proxies,
            configuration.tracer,
            configuration.description,
            events,
        )
        app = make_app(database, **own, parts=parts)
        shutdown = Shutdown(app.service.drain, configuration.shutdown)
        server = serve(app, sockets, None if certificate is None else certificate.context())
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, shutdown.receive, number)
        _logger.info(
            "service started and listening on %s talking to database %s",
            _url_of(sockets[0], "http" if certificate is None else "https"),
            database.url,
        )
        background = Background(shutdown)
        for work in app.background_work:
            background.start(work)
        if certificate is not None:
            background.start(functools.partial(tls.renew, certificate, server.use))
        checking = asyncio.create_task(_warn_if_unusable(database))
        _tune_garbage_collection()
        systemd.notify(systemd.READY)
        await shutdown.wanted()
        systemd.notify(systemd.STOPPING)
        await shutdown.run(server)
        checking.cancel()
        await background.end()
    for number in ENDING_SIGNALS:  # the process ends now, with its own status
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _url_of(listening: socket.socket, scheme: str) -> str:
    ip, port = listening.getsockname()[:2]
    return f"{scheme}://[{ip}]:{port}" if ":" in ip else f"{scheme}://{ip}:{port}"


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
