import datetime
import re

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tor_async_couchdb.model.timestamps import Timestamp, next_after, now, set_clock_offset

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


@pytest.mark.parametrize("offset_s", [3600.0, -3600.0])
def test_clock_can_be_set_off_for_experiments(offset_s: float) -> None:
    set_clock_offset(offset_s)
    try:
        ahead = datetime.datetime.fromisoformat(now()) - datetime.datetime.now(datetime.UTC)
    finally:
        set_clock_offset(0)
    assert abs(ahead - datetime.timedelta(seconds=offset_s)) < datetime.timedelta(seconds=5)


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


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_own_form_passes(moment: datetime.datetime) -> None:
    text = moment.isoformat(timespec="microseconds")
    assume(moment < datetime.datetime.max.replace(tzinfo=datetime.UTC))
    assert msgspec.convert(text, Timestamp) == text


@given(
    st.builds(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00".format,
        st.sampled_from([0, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 2100, 2400, 9996, 9999]),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from([0, 9, 10, 19, 20, 23, 24, 29]),
        st.sampled_from([0, 59, 60, 99]),
        st.sampled_from([0, 59, 60, 61]),
        st.sampled_from([0, 1, 999_999]),
    )
)
@example("9999-12-31T23:59:59.999999+00:00")
@example("9999-12-31T23:59:59.999998+00:00")
@example("2024-02-30T00:00:00.000000+00:00")
@example("0000-02-29T00:00:00.000000+00:00")
@example("9998-12-31T23:59:59.999999+00:00")
@settings(max_examples=1000)
def test_text_of_the_right_form_passes_if_it_is_a_moment_with_a_year_to_spare(text: str) -> None:
    try:
        next_after(text)
        is_moment = not text.startswith("9999")
    except (ValueError, OverflowError):
        is_moment = False
    if is_moment:
        assert msgspec.convert(text, Timestamp) == text
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, Timestamp)


def test_digits_of_other_scripts_do_not_pass() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("٢٠٢٤-01-01T00:00:00.000000+00:00", Timestamp)
