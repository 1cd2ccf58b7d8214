"""Two masters on two servers whose link is cut under load: is a change lost, how soon do they converge?

    python -m benchmarks multi_master --one http://127.0.0.1:5984 --other http://127.0.0.1:5985

Each server reaches the other, and itself, through a link that can be cut. Credentials for both: the
environment variables COUCHDB_USER and COUCHDB_PASSWORD.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from db_installer.folders import DESIGN_DOCS_FOLDER
from suite.errors import SuiteError
from suite.experiments import multi_master
from suite.experiments.multi_master import Experiment, Figures
from suite.experiments.sites import running
from tor_async_couchdb.installer import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect


class Link:
    """A TCP port that leads to a server; while it is cut, nothing passes and nobody can connect."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._own_port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.WriteTransport] = set()

    @property
    def url(self) -> str:
        """The server's URL, by way of the link."""
        return f"http://127.0.0.1:{self._own_port}"

    async def heal(self) -> None:
        """Lets connections through, on the same port as before."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Breaks all connections, and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._open):
            transport.abort()

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        with contextlib.suppress(asyncio.CancelledError):  # the measurement is over
            await asyncio.gather(self._pass_on(reader, there[1]), self._pass_on(there[0], writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer.transport)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        self._open.discard(writer.transport)
        writer.close()


async def _measure(options: argparse.Namespace, credentials: UserPassword) -> Figures:
    name = f"multi_master_benchmark_{uuid.uuid4().hex}"
    with _installed(options.one, name, credentials), _installed(options.other, name, credentials):
        async with Link(options.one) as one, Link(options.other) as other:
            masters = [Master(link.url, name, credentials) for link in (one, other)]
            await asyncio.to_thread(connect, *masters)

            async def cut() -> None:
                await one.cut()
                await other.cut()

            async def heal() -> None:
                await one.heal()
                await other.heal()
                if options.reconnect:
                    await asyncio.to_thread(disconnect, *masters)
                    await asyncio.to_thread(connect, *masters)

            environment = {"COUCHDB_USER": credentials.user, "COUCHDB_PASSWORD": credentials.password}
            logs = Path(tempfile.mkdtemp(prefix="multi_master_"))
            reached = [Master(url, name, credentials) for url in (options.one, options.other)]
            try:
                async with (
                    running("one", reached[0], logs, environment) as site,
                    running("other", reached[1], logs, environment) as other_site,
                ):
                    experiment = Experiment(
                        cut,
                        heal,
                        users=options.users,
                        fruits=options.fruits,
                        partition_s=options.seconds,
                        load_after_heal_s=options.load_after_heal,
                        disturb=site.kill_and_start if options.kill else None,
                    )
                    return await multi_master.run(experiment, (site, other_site))
            finally:
                await asyncio.to_thread(disconnect, *masters)


@contextlib.contextmanager
def _installed(host: str, name: str, credentials: UserPassword) -> Iterator[None]:
    install(host, name, credentials=credentials, design_docs_folder=DESIGN_DOCS_FOLDER)
    try:
        yield
    finally:
        install(host, name, credentials=credentials, delete=True, create=False)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--one", required=True, metavar="URL", help="the one CouchDB server")
    parser.add_argument("--other", required=True, metavar="URL", help="the other CouchDB server")
    parser.add_argument("--users", type=int, default=25, help="clients of each master")
    parser.add_argument("--fruits", type=int, default=25, help="fruits that they all change")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the cut")
    parser.add_argument("--load-after-heal", type=float, default=0.0, help="seconds that the load goes on")
    parser.add_argument("--kill", action="store_true", help="kill -9 one service while it reconciles")
    parser.add_argument("--reconnect", action="store_true", help="begin the replication anew after the cut")


def run(options: argparse.Namespace) -> int:
    """Prints the figures; the exit status: 1 if a change was lost.

    Raises:
        SuiteError: there are no credentials, or the masters don't converge.
    """
    try:
        credentials = UserPassword(os.environ["COUCHDB_USER"], os.environ["COUCHDB_PASSWORD"])
    except KeyError as error:
        raise SuiteError("Set COUCHDB_USER and COUCHDB_PASSWORD to an administrator of both.") from error
    figures = asyncio.run(_measure(options, credentials))
    table = Table("figure", "value")
    for name, value in dataclasses.asdict(figures).items():
        table.add_row(name.replace("_", " "), f"{value:.1f}" if isinstance(value, float) else str(value))
    Console().print(table)
    return 1 if figures.lost else 0
