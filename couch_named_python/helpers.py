"""What a design function may call while it runs: ``emit``, ``log``, ``start``, ``send``, ``get_row``."""

import sys
from collections.abc import Callable
from typing import Any, Protocol

JSONObject = dict[str, Any]


class Response(Protocol):
    """The response that the running show or list function builds."""

    def start(self, response: JSONObject) -> None:
        """Set code and headers."""

    def send(self, chunk: str) -> None:
        """Append to the body."""

    def get_row(self) -> JSONObject | None:
        """Return the next row; None after the last."""


def _log_to_stderr(message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201 -- the log where no query server runs, as in a view's own tests


class Stage:
    """Where the running function's rows, response and log go. One function runs at a time."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, Any]] | None = None
        self.response: Response | None = None
        self.log: Callable[[str], None] = _log_to_stderr


STAGE = Stage()


def emit(key: Any, value: Any = None) -> None:
    """Add a row to the view's index, from a map function.

    Raises:
        RuntimeError: no map function is running.
    """
    if STAGE.rows is None:
        raise RuntimeError("emit() is for map functions")
    STAGE.rows.append((key, value))


def log(message: object) -> None:
    """Write a line to CouchDB's log (level info), from any design function."""
    STAGE.log(str(message))


def start(response: JSONObject) -> None:
    """Set the response's code and headers, from a show or list function.

    CouchDB sends the head of a list's response when the function first asks for a row.

    Raises:
        RuntimeError: no show or list function is running.
        TypeError: ``response`` is no object.
    """
    _response("start").start(response)


def send(chunk: str) -> None:
    """Append ``chunk`` to the response's body, from a show or list function.

    Raises:
        RuntimeError: no show or list function is running.
        TypeError: ``chunk`` is neither a string nor a number.
    """
    _response("send").send(chunk)


def get_row() -> JSONObject | None:
    """Return the view's next row with ``id``, ``key``, ``value``, from a list function; None after the last.

    Raises:
        RuntimeError: no list function is running.
    """
    return _response("get_row").get_row()


def _response(helper: str) -> Response:
    if STAGE.response is None:
        raise RuntimeError(f"{helper}() is for show and list functions")
    return STAGE.response
