"""Timestamps whose order as strings is their order in time: UTC, always with six digits."""

import datetime
from typing import Annotated

import msgspec

# The days of the Gregorian calendar in the years from 0001 to 9998, and February 29 in leap years alone.
_DATE = (
    r"(?!0000|9999)(?:"
    r"[0-9]{4}-(?:"
    r"(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}"

# A moment that exists, with a year to spare: changes of a document in the last year that there is would run
# out of moments.
Timestamp = Annotated[str, msgspec.Meta(pattern=rf"\A{_DATE}T{_TIME}\+00:00\Z", max_length=32)]

_clock_offset = datetime.timedelta()
_TICK = datetime.timedelta(microseconds=1)


def now() -> Timestamp:
    """The current time, as `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`."""
    return _format(datetime.datetime.now(datetime.UTC) + _clock_offset)


def set_clock_offset(seconds: float) -> None:
    """Makes the clock of this process `seconds` fast, or slow if negative: for experiments."""
    global _clock_offset
    _clock_offset = datetime.timedelta(seconds=seconds)


def next_after(previous: Timestamp) -> Timestamp:
    """The current time, or one microsecond after `previous` if the clock was set back."""
    return max(now(), _format(datetime.datetime.fromisoformat(previous) + _TICK))


def _format(moment: datetime.datetime) -> Timestamp:
    # Without timespec isoformat() drops the digits once in a million times, when all of them are zero.
    return moment.isoformat(timespec="microseconds")
