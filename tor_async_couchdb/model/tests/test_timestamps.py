import datetime
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.model.timestamps import Timestamp, next_after, now

FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
moments = st.datetimes(
    min_value=datetime.datetime(1000, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime.datetime(9998, 1, 1),  # noqa: DTZ001 - the same
    timezones=st.just(datetime.UTC),
)


def test_now_has_six_digits_and_is_utc() -> None:
    assert FORM.fullmatch(now())
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(now())
    assert abs(age) < datetime.timedelta(seconds=5)


def test_full_second_has_six_digits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnTheSecond(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "OnTheSecond":
            return cls(2015, 6, 17, 19, 54, 2, tzinfo=tz)

    monkeypatch.setattr(datetime, "datetime", OnTheSecond)
    assert now() == "2015-06-17T19:54:02.000000+00:00"


def test_next_is_now_when_the_clock_went_on() -> None:
    before = now()
    assert before <= next_after("2015-06-17T19:54:02.133017+00:00") <= now()


def test_next_is_later_even_when_the_clock_went_back() -> None:
    assert next_after("2999-12-31T23:59:59.999999+00:00") == "3000-01-01T00:00:00.000000+00:00"


@given(moments)
def test_next_is_always_later_also_as_a_string(moment: datetime.datetime) -> None:
    previous = moment.isoformat(timespec="microseconds")
    assert next_after(previous) > previous
    assert FORM.fullmatch(next_after(previous))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2015-06-17T19:54:02+00:00",
        "2015-06-17T19:54:02.133+00:00",
        "2015-06-17T19:54:02.133017Z",
        "2015-06-17T19:54:02.133017+01:00",
        "2015-06-17 19:54:02.133017+00:00",
        "2015-06-17T19:54:02.133017+00:00 ",
        "2015-06-17T19:54:02.133017+00:00\n",
        "x2015-06-17T19:54:02.133017+00:00",
    ],
)
def test_other_forms_do_not_pass_for_timestamps(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Timestamp)


@given(st.datetimes(timezones=st.just(datetime.UTC), min_value=datetime.datetime(1000, 1, 1)))  # noqa: DTZ001
def test_own_form_passes(moment: datetime.datetime) -> None:
    text = moment.isoformat(timespec="microseconds")
    assert msgspec.convert(text, Timestamp) == text
