"""Services as processes of their own."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tor_async_couchdb.tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20


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
        """Returns once a line of the log has these words."""
        await wait_until(lambda: any(words in line for line in self.log), TIMEOUT_S)

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
    credentials = {"COUCHDB_USER": username, "COUCHDB_PASSWORD": password}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=folder,
        env=os.environ | credentials | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
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
