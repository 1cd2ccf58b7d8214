"""The leader: what the processes of the sample of this name answer."""

import asyncio
import time

import aiohttp
import msgspec

from watch.model.leadership import Leadership
from watch.watching.rounds import EXPECTED
from watch.watching.services import Service
from watch.watching.world import World

_SAMPLE = "leader"
_ANSWER_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class _Answer(msgspec.Struct, frozen=True):
    leader: str | None
    term: int
    count: int
    is_me: bool


class LeaderWatcher:
    """Asks the processes who leads, and sets the part "leader"."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._session = session
        self._leadership = Leadership()

    async def look(self) -> None:
        """One round of questions."""
        services = [each for each in self._world.get("services") or [] if each["sample"] == _SAMPLE]
        if not services:
            self._world.set("leader", None)
            return
        answers = await asyncio.gather(*(self._ask(service) for service in services))
        now_s = time.time()
        for answer in answers:
            if answer is not None:
                self._leadership.seen(now_s, answer.leader, answer.term, answer.count)
        seen = self._leadership.as_json(now_s)
        processes = [
            {
                "label": service["label"],
                "is_running": service["is_running"],
                "is_leader": bool(answer and answer.is_me and seen["leader"]),
            }
            for service, answer in zip(services, answers, strict=True)
        ]
        self._world.set("leader", seen | {"processes": processes})

    async def _ask(self, service: Service) -> _Answer | None:
        if not service["is_running"]:
            return None
        try:
            url = f"{service['url']}/v1.0/leader"
            async with self._session.get(url, timeout=_ANSWER_TIMEOUT) as answer:
                if not answer.ok:
                    return None
                return msgspec.json.decode(await answer.read(), type=_Answer)
        except EXPECTED:
            return None
