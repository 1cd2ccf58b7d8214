"""The log of a service, on standard output: text for people, or JSON for what collects logs.

In both forms no content can begin a line that looks like another entry: control characters are escaped, and
in text the lines after the first one of an entry are indented.
"""

import logging
import sys
import time
from typing import Literal, get_args

import msgspec

from tor_async_service.correlation import REQUEST_ID, TRACE_ID

LogFormat = Literal["text", "json"]
FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)
LEVELS = ("debug", "info", "warning", "error")


def configure(form: LogFormat = "text", level: str = "info") -> None:
    """Sends all that the process logs to standard output, if there is one."""
    # The log shows none of these, so they need not be looked up for each entry.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.NullHandler() if sys.stdout is None else logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _Formatter(logging.Formatter):
    """What both forms have in common. Times are UTC."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._second_text = ""

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{int(record.msecs):03d}+00:00"

    def _details(self, record: logging.LogRecord) -> str:
        """The traceback of an error, or of the call that logged; "" if the entry has none."""
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(parts)


class TextFormatter(_Formatter):
    """An entry as a line: time, level, module, message, and the ids of the request."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the indented lines of a traceback."""
        message = _escaped(record.getMessage())
        line = f"{self._time(record)} {record.levelname} {record.module} {message}"
        if request_id := REQUEST_ID.get():
            line += f" request_id={request_id}"
        if trace_id := TRACE_ID.get():
            line += f" trace_id={trace_id}"
        details = self._details(record)
        if details:
            line += "".join(f"\n  {_escaped(detail)}" for detail in details.split("\n"))
        return line


class JSONFormatter(_Formatter):
    """An entry as a line of JSON. `extra={"fields": {…}}` of a call adds members of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, object] = {
            "time": self._time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            entry["request_id"] = request_id
        if trace_id := TRACE_ID.get():
            entry["trace_id"] = trace_id
        entry |= getattr(record, "fields", {})
        if details := self._details(record):
            entry["exception"] = details
        return _encoded(entry)


def _encoded(entry: dict[str, object]) -> str:
    try:
        return msgspec.json.encode(entry).decode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        texts = {
            name: _encodable(value) if isinstance(value, str) else value for name, value in entry.items()
        }
        return msgspec.json.encode(texts).decode()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _escaped(text: str) -> str:
    r"""The text with all characters escaped that end a line, move a cursor, or can't be seen: `\n`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
