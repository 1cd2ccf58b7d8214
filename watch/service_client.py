"""Requests to a service, as one of its clients sends them."""

from typing import Any

import aiohttp
import msgspec

from tor_async_couchdb.wire.json_parts import UNDECODABLE

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


class ServiceUnreachableError(Exception):
    """The service gave no answer."""


async def ask_service(
    session: aiohttp.ClientSession, url: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """The status and the JSON of the answer, whatever they are; None if it has no body.

    Raises:
        ServiceUnreachableError: there is no answer.
    """
    try:
        async with session.request(method, f"{url}{path}", json=body, timeout=_TIMEOUT) as answer:
            text = await answer.read()
        return answer.status, msgspec.json.decode(text) if text.strip() else None
    except (aiohttp.ClientError, TimeoutError, *UNDECODABLE) as error:
        raise ServiceUnreachableError(f"The service at {url} does not answer.") from error


async def new_fruit(session: aiohttp.ClientSession, url: str, body: object) -> dict[str, Any]:
    """A new fruit of the service.

    Raises:
        ServiceUnreachableError: there is no answer, or the service refuses to make one.
    """
    status, fruit = await ask_service(session, url, "POST", "/v1.0/fruits", body)
    if status != 201 or not isinstance(fruit, dict):
        raise ServiceUnreachableError(f"The service at {url} answered {status} to a new fruit.")
    return fruit
