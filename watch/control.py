"""The control API of the run: it owns processes, databases, faults and load; the page only asks it."""

import urllib.parse
from typing import Any

import aiohttp
import msgspec

from tor_async_couchdb.wire.json_parts import UNDECODABLE

TIMEOUT_S = 25.0  # a restart waits until the service is healthy
_READING = ("GET", "DELETE")


class ControlError(Exception):
    """The run did not do what it was asked for; `status` and the text are those of its answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Control:
    """A client of the control API at `url`; every request bears the run's `token`."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, session: aiohttp.ClientSession, method: str, *path: str, body: object = None) -> Any:
        """The JSON of an answer; None if it has none.

        Raises:
            ControlError: the run can't be reached, or refuses; then the text is its own.
        """
        url = "/".join([self._url, *(urllib.parse.quote(part, safe="") for part in path)])
        try:
            async with session.request(
                method,
                url,
                headers=self._headers,
                json=body if body is not None or method in _READING else {},
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControlError(502, "The run can't be reached. Has it ended?") from error
        if answer.status in (401, 403):
            raise ControlError(502, "The run refuses the page's service. Is another run's token set?")
        if answer.status >= 400:
            raise ControlError(answer.status, _sentence_of(text) or f"The run answered {answer.status}.")
        try:
            return msgspec.json.decode(text) if text.strip() else None
        except UNDECODABLE as error:
            raise ControlError(502, "The run's answer is not JSON.") from error


def _sentence_of(text: bytes) -> str | None:
    try:
        problem = msgspec.json.decode(text)
    except UNDECODABLE:
        return None
    sentence = problem.get("error") if isinstance(problem, dict) else None
    return sentence if isinstance(sentence, str) else None
