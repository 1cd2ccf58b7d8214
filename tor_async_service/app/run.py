"""The life of a service, from its command line to its exit status."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

import tornado.httpserver
import tornado.netutil
import uvloop

from tor_async_service.app import options as command_line
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.options import Configuration, Option

_DRAIN_TIMEOUT_S = 10.0
# A client that stalls in the middle of a request must not hold its connection for ever.
_BODY_TIMEOUT_S = 30.0
_IDLE_CONNECTION_TIMEOUT_S = 600.0
# A hundred requests in flight hold more than Python's 700: the search for garbage took a tenth of the time.
_ALLOCATIONS_PER_COLLECTION = 50_000

_logger = logging.getLogger(__name__)

# Is given the database, and the service's own options by their names.
MakeApp = Callable[..., ServiceApplication]


def run(make_app: MakeApp, description: str, *own_options: Option) -> None:
    """Runs a service until SIGTERM or SIGINT, and ends the process with status 0.

    A port that can't be had ends it with one line and status 1, a wrong option with status 2.
    """
    configuration = command_line.parse(description, own_options=own_options)
    _configure_logging()
    try:
        sockets = tornado.netutil.bind_sockets(configuration.port, configuration.ip)
    except OSError as error:
        sys.exit(f"can't listen on {configuration.ip} port {configuration.port}: {error.strerror}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(make_app, configuration, sockets))


async def _serve(make_app: MakeApp, configuration: Configuration, sockets: list[socket.socket]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with configuration.open_database() as database:
        app = make_app(database, **configuration.own)
        app.deadline_s = configuration.deadline_s
        server = tornado.httpserver.HTTPServer(
            app,
            xheaders=True,
            body_timeout=_BODY_TIMEOUT_S,
            idle_connection_timeout=_IDLE_CONNECTION_TIMEOUT_S,
        )
        server.add_sockets(sockets)
        ip, port = sockets[0].getsockname()[:2]
        _logger.info(
            "service started and listening on http://%s:%d talking to database %s", ip, port, database.url
        )
        tasks = [asyncio.create_task(work()) for work in app.background_work]
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())  # which none does by itself but by an error
        _tune_garbage_collection()
        await stop.wait()
        await _drain(server, app)
        await _end(tasks)


def _tune_garbage_collection() -> None:
    """Searches rarely for what requests leave behind, and never among what lives as long as the service."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)


async def _drain(server: tornado.httpserver.HTTPServer, app: ServiceApplication) -> None:
    app.drain.is_draining = True
    server.stop()
    _logger.info("Shutting down ...")
    cut_off = await app.drain.wait(_DRAIN_TIMEOUT_S)
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
    # What the lines do not show need not be found out for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
