"""Services as processes of their own."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from tor_async_couchdb.tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60


class Service:
    """A running service, and its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode().rstrip("\n"))

    async def says(self, words: str) -> None:
        """Returns once a line of the log has these words; the test fails if it ends without."""
        await wait_until(lambda: self._reading.done() or self._has_said(words), TIMEOUT_S)
        assert self._has_said(words), "\n".join(self.log)

    def _has_said(self, words: str) -> bool:
        return any(words in line for line in self.log)

    async def url(self) -> str:
        """Its URL, once it listens."""
        await self.says("listening on")
        found = re.search(r"listening on (\S+) talking to", "\n".join(self.log))
        assert found is not None
        return found[1]

    async def status(self) -> int:
        """The exit status, once it has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._reading
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running(
    module: str,
    *arguments: str,
    username: str = "",
    password: str = "",
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Service]:
    """The service that `module` is, in `folder` or in this checkout; it is killed at the end of the block.

    `environment` is added to its own.
    """
    own = {"COUCHDB_USER": username, "COUCHDB_PASSWORD": password, "PYTHONPATH": str(ROOT)}
    environment = os.environ | own | dict(environment or {})
    async with running_command([sys.executable, "-m", module, *arguments], folder, environment) as service:
        yield service


@contextlib.asynccontextmanager
async def running_command(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Service]:
    """The service that a command runs in a folder; it is killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    service = Service(process)
    try:
        yield service
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await service.status()
