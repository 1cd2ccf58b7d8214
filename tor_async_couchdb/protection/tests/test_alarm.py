import pytest

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.protection import alarm
from tor_async_couchdb.protection.alarm import TamperingAlarm


def test_document_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    alarm = TamperingAlarm()
    for document_id in ("a", "b", "a", "a"):
        alarm.sound(TamperedError(document_id))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("CRITICAL", "ALARM: tampering detected in document 'a'"),
        ("CRITICAL", "ALARM: tampering detected in document 'b'"),
    ]


def test_what_it_remembers_is_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm, "_MAX_REMEMBERED", 2)
    sounded = TamperingAlarm()
    for document_id in ("a", "b", "c", "c", "a"):
        sounded.sound(TamperedError(document_id))
    assert [record.getMessage()[-3:] for record in caplog.records] == ["'a'", "'b'", "'c'", "'a'"]


def test_id_of_a_document_can_t_forge_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    TamperingAlarm().sound(TamperedError("a\nCRITICAL all is well"))
    assert "\n" not in caplog.records[0].getMessage()
