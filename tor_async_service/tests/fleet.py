"""Several processes of one service behind a load balancer, and a load whose every failed request counts."""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import aiohttp

from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests import haproxy
from tor_async_service.tests.processes import TIMEOUT_S, Service

NAMES = ("a", "b", "c")
CLIENT_COUNT = 6
PAUSE_S = 0.02  # what is under test is the restart, not the machine


@dataclasses.dataclass(frozen=True)
class Failure:
    """A request that got no answer, or a wrong one, from the service `served_by` if that is known."""

    request: str
    started_s: float
    served_by: str | None
    reason: str


class UnansweredError(aiohttp.ClientError):
    """The connection broke."""


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request again, which would hide a failure."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise UnansweredError from error


class Load:
    """Clients that make requests, one after the other. A subclass says which, in `work`."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self.served = dict.fromkeys(NAMES, 0)
        self.failures: list[Failure] = []
        self._numbers = itertools.count()
        self._in_flight: set[int] = set()

    async def work(self, number: int) -> None:
        """What the client of this number does, again and again, until it is cancelled."""
        raise NotImplementedError

    async def request(
        self, method: str, path: str, body: object = None, *, to: str = ""
    ) -> aiohttp.ClientResponse | None:
        """The answer, which is read; None if the request failed. It goes to the service `to` or to any."""
        await asyncio.sleep(PAUSE_S)
        number, started_s, served_by = next(self._numbers), time.monotonic(), None
        self._in_flight.add(number)
        try:
            async with self._client.request(method, path, json=body, headers={"To": to}) as response:
                served_by = response.headers.get("Served-By")
                await response.read()
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(Failure(f"{method} {path}", started_s, served_by, f"{error!r}"))
            return None
        finally:
            self._in_flight.remove(number)
        self.served[served_by or ""] += 1
        return response

    async def avoids(self, name: str) -> None:
        """Returns once the load balancer sends this service no request, and has sent it none that is left."""
        async with asyncio.timeout(TIMEOUT_S):
            is_up = True
            while is_up:
                await asyncio.sleep(PAUSE_S)
                is_up = await self._is_up(name)
        begun = set(self._in_flight)
        await wait_until(lambda: begun.isdisjoint(self._in_flight), TIMEOUT_S)

    async def _is_up(self, name: str) -> bool:
        async with self._client.get(f"/up/{name}") as response:
            return response.status == 200

    async def reaches(self, names: Sequence[str]) -> None:
        """Returns once each of these services has answered another request."""
        before = dict(self.served)
        await wait_until(lambda: all(self.served[name] > before[name] for name in names), TIMEOUT_S)


L = TypeVar("L", bound=Load)


class Fleet:
    """Processes of a service, each on a port that it gets again after a restart.

    `run` starts one on a port, with a delay before its end that is longer than any test takes: a second
    signal ends the delay.
    """

    def __init__(
        self, run: Callable[[int], AbstractAsyncContextManager[Service]], stack: contextlib.AsyncExitStack
    ) -> None:
        self._run = run
        self._stack = stack
        reserved = {name: stack.enter_context(haproxy.reserved_port()) for name in NAMES}
        self.ports = {name: port.getsockname()[1] for name, port in reserved.items()}
        self.services: dict[str, Service] = {}

    async def start(self, *names: str) -> None:
        """Starts these processes; returns once they listen."""
        for name in names:
            self.services[name] = await self._stack.enter_async_context(self._run(self.ports[name]))
        for name in names:
            await self.services[name].url()

    async def stop(self, name: str, load: Load) -> None:
        """Ends a process; its delay ends when the load balancer has noticed."""
        service = self.services[name]
        service.process.terminate()
        await load.avoids(name)
        service.process.terminate()
        assert await service.status() == 0
        assert not [line for line in service.log if "in flight" in line]

    async def restart_one_by_one(self, load: Load) -> None:
        """Replaces each process by a new one, while the others serve."""
        for name in NAMES:
            await self.stop(name, load)
            await self.start(name)
            await load.reaches(NAMES)

    async def kill(self, name: str) -> None:
        """Ends a process as kill -9 does."""
        self.services[name].process.kill()
        await self.services[name].status()

    @contextlib.asynccontextmanager
    async def under(self, make_load: Callable[[aiohttp.ClientSession], L], folder: Path) -> AsyncIterator[L]:
        """The load, once each process has a part of it. It ends with the block."""
        await self.start(*NAMES)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            haproxy.balanced(self.ports, folder) as url,
            aiohttp.ClientSession(url, timeout=timeout, middlewares=[send_once]) as client,
        ):
            load = make_load(client)
            async with asyncio.TaskGroup() as group:
                clients = [group.create_task(load.work(number)) for number in range(CLIENT_COUNT)]
                await load.reaches(NAMES)
                yield load
                for running_client in clients:
                    running_client.cancel()
