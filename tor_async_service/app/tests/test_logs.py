import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec
import pytest

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.logs import JSONFormatter, TextFormatter
from tor_async_service.correlation import REQUEST_ID, TRACE_ID
from tor_async_service.tests.processes import Service, running
from tor_async_service.tests.serving import problem_of

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
# What ends a line for a program, a terminal or a person's editor, and what a terminal obeys.
HOSTILE = "a\nb\r\nc\x0bd\x1b[2Je\x85f\u2028g\ud800h\x7fi\u202ej\0"


def record(message: str, *arguments: object, **attributes: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "tor_async_service.x",
        logging.INFO,
        "/a/x.py",
        1,
        message,
        arguments,
        attributes.pop("exc_info", None),
    )
    made.created, made.msecs = 1448359800.25, 250.0
    made.__dict__.update(attributes)
    return made


@pytest.fixture
def request_ids() -> Iterator[None]:
    tokens = REQUEST_ID.set("r-1"), TRACE_ID.set("4bf92f3577b34da6a3ce929d0e0e4736")
    yield
    REQUEST_ID.reset(tokens[0])
    TRACE_ID.reset(tokens[1])


def an_error(text: str) -> Any:
    try:
        fail(text)
    except ValueError:
        return sys.exc_info()


def fail(text: str) -> None:
    raise ValueError(text)


def parsed(line: str) -> dict[str, Any]:
    entry: dict[str, Any] = msgspec.json.decode(line)
    return entry


def test_text_is_a_line_that_a_person_can_read() -> None:
    line = TextFormatter().format(record("%d %s", 200, "GET /ü"))
    assert line == "2015-11-24T10:10:00.250+00:00 INFO x 200 GET /ü"


def test_time_is_that_of_each_entry() -> None:
    formatter, first, later = TextFormatter(), record("a"), record("b")
    later.created += 61.5
    later.msecs = 750.0
    times = [formatter.format(entry).split(" ")[0] for entry in (first, later, first)]
    assert times == [f"2015-11-24T10:{time}+00:00" for time in ("10:00.250", "11:01.750", "10:00.250")]


@pytest.mark.usefixtures("request_ids")
def test_line_has_the_ids_of_its_request() -> None:
    line = TextFormatter().format(record("found"))
    assert line.endswith(" INFO x found request_id=r-1 trace_id=4bf92f3577b34da6a3ce929d0e0e4736")
    entry = parsed(JSONFormatter().format(record("found")))
    assert (entry["request_id"], entry["trace_id"]) == ("r-1", "4bf92f3577b34da6a3ce929d0e0e4736")


def test_json_has_its_members_and_those_of_the_call() -> None:
    entry = parsed(JSONFormatter().format(record("%s", "ü", fields={"status": 200})))
    assert entry == {
        "time": "2015-11-24T10:10:00.250+00:00",
        "level": "INFO",
        "logger": "tor_async_service.x",
        "message": "ü",
        "status": 200,
    }


def test_message_can_forge_no_line() -> None:
    text = TextFormatter().format(record("%s", HOSTILE))
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert text.isascii()
    line = JSONFormatter().format(record("%s", HOSTILE))
    assert "\n" not in line
    assert parsed(line)["message"] == HOSTILE.replace("\ud800", "\\ud800")


def test_error_can_forge_no_line() -> None:
    forged = "x\n2015-11-24T10:10:00.250+00:00 INFO x forged\x1b[2J"
    text = TextFormatter().format(record("failed", exc_info=an_error(forged)))
    first, *others = text.splitlines()
    assert re.fullmatch(f"{TIME} INFO x failed", first)
    assert others[0] == "  Traceback (most recent call last):"
    assert others[-1] == "  2015-11-24T10:10:00.250+00:00 INFO x forged\\x1b[2J"
    assert all(line.startswith("  ") for line in others)
    line = JSONFormatter().format(record("failed", exc_info=an_error(forged)))
    assert "\n" not in line
    assert parsed(line)["exception"].endswith(f"ValueError: {forged}")


SERVICE = "tor_async_service.tests.thing_service"


async def used(service: Service) -> None:
    """Makes a request with an id, and one with a forged line in its path; then stops the service."""
    headers = {"X-Request-Id": "from-the-test"}
    async with aiohttp.ClientSession(await service.url()) as client:
        async with client.get("/things/a", headers=headers) as response:
            assert response.status == 200
            assert response.headers["X-Request-Id"] == "from-the-test"
        async with client.get("/things/b%0A2015-11-24T10:10:00.250+00:00%20INFO%20x%20forged") as response:
            problem = await problem_of(response, 404)
            assert problem["request_id"] == response.headers["X-Request-Id"]
            assert re.fullmatch("[0-9a-f]{32}", problem["request_id"])
    service.process.terminate()
    assert await service.status() == 0


@pytest.fixture
def arguments(database_url: str, documents: Documents) -> tuple[str, ...]:
    documents.put_thing("a")
    return ("--port", "0", "--database", database_url)


async def test_process_logs_json(couchdb: CouchDBServer, arguments: tuple[str, ...]) -> None:
    arguments = (*arguments, "--log-format", "json", "--log-level", "debug")
    async with running(SERVICE, *arguments, username=couchdb.username, password=couchdb.password) as service:
        await used(service)
    entries = [parsed(line) for line in service.log]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(entry) for entry in entries))
    (access,) = [entry for entry in entries if entry.get("path") == "/things/a"]
    assert access["logger"] == "tornado.access"
    assert (access["level"], access["request_id"]) == ("INFO", "from-the-test")
    assert (access["method"], access["status"], access["client"]) == ("GET", 200, "127.0.0.1")
    assert 0 < access["duration_s"] < 30
    calls = [entry for entry in entries if entry["message"].startswith("CouchDB took")]
    assert {entry["level"] for entry in calls} == {"DEBUG"}
    assert [entry for entry in calls if entry.get("request_id") == "from-the-test"]


async def test_process_logs_a_request_in_one_line_of_text_without_calls_to_couchdb(
    couchdb: CouchDBServer, arguments: tuple[str, ...]
) -> None:
    async with running(SERVICE, *arguments, username=couchdb.username, password=couchdb.password) as service:
        await used(service)
    lines = [line for line in service.log if "request_id=from-the-test" in line]
    assert len(lines) == 1
    assert re.fullmatch(
        rf"{TIME} INFO handler 200 GET /things/a \(127.0.0.1\) \d+\.\d\dms request_id=from-the-test", lines[0]
    )
    assert [line for line in service.log if not re.match(f"{TIME} (INFO|WARNING) ", line)] == []
    assert not [line for line in service.log if "CouchDB took" in line or line.endswith("forged")]
