"""What the control API of the run says: services, faults, load, books, masters."""

import asyncio
from typing import Any

import aiohttp

from watch.control import Control, ControlError
from watch.watching.world import World

# The parts of the page, and where the control API has them.
_PARTS = {
    "services": "services",
    "faults": "faults",
    "load": "load",
    "books": "books",
    "_masters": "masters",
    "_database": "database",
}


class RunWatcher:
    """Asks the control API for all that it knows."""

    def __init__(self, world: World, control: Control, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._control = control
        self._session = session

    async def look(self) -> None:
        """One round of questions; what can't be answered keeps its value, and the part "run" says why."""
        answers = await asyncio.gather(*(self._ask(path) for path in _PARTS.values()))
        problems = [str(answer) for answer in answers if isinstance(answer, ControlError)]
        for name, answer in zip(_PARTS, answers, strict=True):
            if not isinstance(answer, ControlError):
                self._world.set(name, answer)
        self._world.set("run", {"problem": problems[0] if problems else None})

    async def _ask(self, path: str) -> Any:
        try:
            return await self._control.ask(self._session, "GET", path)
        except ControlError as error:
            # A run without load or masters has nothing to say about them.
            return None if error.status == 404 else error
