"""All that is watched, as the background work of the service."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp

from watch.control import Control
from watch.watching.leader import LeaderWatcher
from watch.watching.masters import MastersWatcher
from watch.watching.rounds import EXPECTED, repeat
from watch.watching.run_state import RunWatcher
from watch.watching.services import HealthWatcher, LadderWatcher, LaneWatcher
from watch.watching.world import World

DEFAULT_INTERVAL_S = 1.0


class Watch:
    """Watches a run into a `world`, while a page is open; it closes `session` at its end.

    It looks at most things every `interval_s`, and tells the pages twice as often.
    """

    def __init__(
        self,
        world: World,
        control: Control,
        session: aiohttp.ClientSession,
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
    ) -> None:
        self._world = world
        self._session = session
        self._interval_s = interval_s
        self._run_state = RunWatcher(world, control, session)
        self._lanes = LaneWatcher(world, session)
        self._masters = MastersWatcher(world)

    async def run(self) -> None:
        """Never returns."""
        world, session = self._world, self._session
        rounds: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._run_state.look, 1.0),
            (self._lanes.look, 1.0),
            (LadderWatcher(world, session).look, 1.0),
            (self._masters.look, 0.5),
            (LeaderWatcher(world, session).look, 0.4),
            (HealthWatcher(world, session).look, 3.0),
        ]
        async with session:
            try:
                async with asyncio.TaskGroup() as group:
                    for look, intervals in rounds:
                        group.create_task(repeat(world, look, interval_s=intervals * self._interval_s))
                    group.create_task(self._publish())
                    group.create_task(self._rest_when_unwatched())
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._rest()

    async def refresh(self) -> None:
        """Looks at the run now, and tells the pages: somebody has changed something."""
        with contextlib.suppress(*EXPECTED):
            await self._run_state.look()
        self._world.publish(self._lanes.take())

    async def _publish(self) -> None:
        while True:
            await self._world.is_watched.wait()
            self._world.publish(self._lanes.take())
            await asyncio.sleep(0.5 * self._interval_s)

    async def _rest_when_unwatched(self) -> None:
        while True:
            await self._world.is_watched.wait()
            await self._world.is_unwatched.wait()
            await self._rest()

    async def _rest(self) -> None:
        """Ends what streams."""
        await self._lanes.rest()
        await self._masters.rest()
