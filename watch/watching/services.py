"""Services: where they run, what their metrics and health checks say, and what their requests do."""

import asyncio
import contextlib
import time
from typing import Any

import aiohttp
import msgspec

from watch.model import metrics
from watch.model.ladder import Rung
from watch.model.lanes import Lane
from watch.model.metrics import Counts
from watch.watching.rounds import EXPECTED
from watch.watching.world import World

_CRUD = "crud/"
_ANSWER_TIMEOUT = aiohttp.ClientTimeout(total=3.0)
_SILENCE_TIMEOUT_S = 15.0  # the chassis sends a heartbeat every 5 s
_MAX_EVENTS_SIZE_BYTES = 2**22

# A service as the control API describes it.
Service = dict[str, Any]


def running(world: World) -> list[Service]:
    """The services that run, as far as is known."""
    return [service for service in world.get("services") or [] if service.get("is_running")]


class LadderWatcher:
    """Reads `/_metrics` of the services that have fruits, and sets the part "ladder"."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._session = session
        self._rungs: dict[str, Rung] = {}

    async def look(self) -> None:
        """One reading of all of them."""
        services = [service for service in running(self._world) if service["sample"].startswith(_CRUD)]
        readings = await asyncio.gather(*(self._read(service) for service in services))
        by_sample: dict[str, dict[str, Counts]] = {}
        for service, counts in zip(services, readings, strict=True):
            if counts is not None:
                by_sample.setdefault(service["sample"], {})[service["label"]] = counts
        for sample, counts_by_label in by_sample.items():
            self._rungs.setdefault(sample, Rung()).read(time.time(), counts_by_label)
        self._world.set("ladder", {sample: rung.figures() for sample, rung in self._rungs.items()})

    async def _read(self, service: Service) -> Counts | None:
        # Quick: what the database would have to answer is not shown.
        url, accept = f"{service['url']}/_metrics?quick=true", {"Accept": "text/plain"}
        try:
            async with self._session.get(url, headers=accept, timeout=_ANSWER_TIMEOUT) as answer:
                return metrics.parse(await answer.text()) if answer.ok else None
        except EXPECTED:
            return None


class _Detail(msgspec.Struct, frozen=True):
    reason: str = ""


class _Health(msgspec.Struct, frozen=True):
    status: str = "red"
    details: dict[str, _Detail] = {}


class HealthWatcher:
    """Asks each service for its thorough health, and sets the part "health", by label."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._session = session

    async def look(self) -> None:
        """One round of questions."""
        services = running(self._world)
        answers = await asyncio.gather(*(self._ask(service) for service in services))
        self._world.set(
            "health", {service["label"]: answer for service, answer in zip(services, answers, strict=True)}
        )

    async def _ask(self, service: Service) -> dict[str, Any]:
        url = f"{service['url']}/_health?quick=false"
        try:
            async with self._session.get(url, timeout=_ANSWER_TIMEOUT) as answer:
                health = msgspec.json.decode(await answer.read(), type=_Health)
        except EXPECTED:
            return {"status": "red", "reasons": ["does not answer"]}
        reasons = [f"{name}: {detail.reason}" for name, detail in health.details.items()]
        return {"status": health.status, "reasons": reasons}


class LaneWatcher:
    """Follows `/_events` of the services that have fruits, as long as a page is open."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._session = session
        self._lanes: dict[str, Lane] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    def take(self) -> dict[str, Any]:
        """The fruit and the bars of each sample that have changed since the last call."""
        return {
            sample: {"path": lane.path, "bars": bars}
            for sample, lane in self._lanes.items()
            if (bars := lane.take())
        }

    async def look(self) -> None:
        """Follows those that run now, and no others."""
        services = {each["url"]: each for each in running(self._world) if each["sample"].startswith(_CRUD)}
        ended = {url for url, task in self._following.items() if task.done() or url not in services}
        for url in ended:
            self._following.pop(url).cancel()
        for url, service in services.items():
            if url not in self._following:
                self._following[url] = asyncio.create_task(self._follow(service))

    async def rest(self) -> None:
        """Follows none of them, so that their requests cost nothing more."""
        tasks, self._following = [*self._following.values()], {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, service: Service) -> None:
        lane = self._lanes.setdefault(service["sample"], Lane())
        label = f"{service['label']}:{service.get('pid')}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=3.0, sock_read=_SILENCE_TIMEOUT_S)
        with contextlib.suppress(*EXPECTED):
            url = f"{service['url']}/_events"
            async with self._session.get(url, timeout=timeout, read_bufsize=_MAX_EVENTS_SIZE_BYTES) as answer:
                if not answer.ok:
                    return
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        for event in msgspec.json.decode(line.removeprefix(b"data: ")):
                            lane.add(label, event)
