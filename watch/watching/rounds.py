"""Work that is repeated while a page is open."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import aiohttp

from tor_async_couchdb import CouchDBError
from tor_async_couchdb.wire.json_parts import UNDECODABLE
from watch.control import ControlError
from watch.watching.world import World

# What goes wrong while parts of the run are down, which is when it is most worth watching.
EXPECTED = (aiohttp.ClientError, TimeoutError, ControlError, CouchDBError, *UNDECODABLE)

_logger = logging.getLogger(__name__)


async def repeat(
    world: World, work: Callable[[], Awaitable[None]], *, interval_s: float, timeout_s: float = 10.0
) -> NoReturn:
    """Does the work every `interval_s` while a page is open; an error skips one round.

    One that is not expected is logged, but not in each round again.
    """
    complaint = ""
    while True:
        await world.is_watched.wait()
        try:
            async with asyncio.timeout(timeout_s):
                await work()
        except EXPECTED as error:
            _logger.debug("skipped: %s", error)
        except Exception as error:  # what is watched may answer anything, and the rest is worth watching
            if repr(error) != complaint:
                complaint = repr(error)
                _logger.exception("a round of watching failed")
        await asyncio.sleep(interval_s)
