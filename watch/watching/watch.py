"""All that is watched, as the background work of the service."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp

from watch.control import Control
from watch.watching.leader import LeaderWatcher
from watch.watching.masters import MastersWatcher
from watch.watching.rounds import repeat
from watch.watching.run_state import RunWatcher
from watch.watching.services import HealthWatcher, LadderWatcher, LaneWatcher
from watch.watching.world import World

_PUBLISH_INTERVAL_S = 0.5


class Watch:
    """Watches a run into a `world`, while a page is open; it closes `session` at its end."""

    def __init__(self, world: World, control: Control, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._control = control
        self._session = session

    async def run(self) -> None:
        """Never returns."""
        async with self._session as session:
            world = self._world
            lanes, masters = LaneWatcher(world, session), MastersWatcher(world)
            rounds: list[tuple[Callable[[], Awaitable[None]], float]] = [
                (RunWatcher(world, self._control, session).look, 1.0),
                (LadderWatcher(world, session).look, 1.0),
                (LeaderWatcher(world, session).look, 0.4),
                (HealthWatcher(world, session).look, 4.0),
                (masters.look, 0.5),
                (lanes.look, 1.0),
            ]
            try:
                async with asyncio.TaskGroup() as group:
                    for look, interval_s in rounds:
                        group.create_task(repeat(world, look, interval_s=interval_s))
                    group.create_task(self._publish(lanes))
                    group.create_task(self._rest(lanes, masters))
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await lanes.rest()
                    await masters.rest()

    async def _publish(self, lanes: LaneWatcher) -> None:
        while True:
            await self._world.is_watched.wait()
            self._world.publish(lanes.take())
            await asyncio.sleep(_PUBLISH_INTERVAL_S)

    async def _rest(self, lanes: LaneWatcher, masters: MastersWatcher) -> None:
        """Ends what streams when the last page is closed."""
        while True:
            await self._world.is_watched.wait()
            await self._world.is_unwatched.wait()
            await lanes.rest()
            await masters.rest()
