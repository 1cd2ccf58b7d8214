"""Timestamps whose order as strings is their order in time: UTC, always with six digits."""

import datetime
from typing import Annotated

import msgspec

Timestamp = Annotated[
    str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$", max_length=32)
]

_TICK = datetime.timedelta(microseconds=1)


def now() -> Timestamp:
    """The current time, as `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`."""
    return _format(datetime.datetime.now(datetime.UTC))


def next_after(previous: Timestamp) -> Timestamp:
    """The current time, or one microsecond after `previous` if the clock was set back."""
    return max(now(), _format(datetime.datetime.fromisoformat(previous) + _TICK))


def _format(moment: datetime.datetime) -> Timestamp:
    # Without timespec isoformat() drops the digits once in a million times, when all of them are zero.
    return moment.isoformat(timespec="microseconds")
