import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from embedded_couchdb.tests.couch import TIMEOUT_S

SERVER = Path(__file__).parent / "last_resort.js"


@pytest.fixture
def failing_server(node: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [str(node), str(SERVER)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process
        process.kill()


@pytest.mark.parametrize(
    ("path", "message"),
    [("callback", "TypeError: in a callback"), ("promise", "Error: in a promise"), ("null", "null")],
)
def test_error_that_no_handler_catches_is_answered_and_logged(
    failing_server: tuple[str, "subprocess.Popen[str]"], path: str, message: str
) -> None:
    url, process = failing_server
    response = requests.get(f"{url}/{path}", timeout=TIMEOUT_S)
    assert (response.status_code, response.json()["error"]) == (500, "internal_server_error")
    assert process.stderr is not None
    assert f"GET /{path} (last resort): {message}" in process.stderr.readline()
    assert requests.get(url, timeout=TIMEOUT_S).json() == {"ok": True}


def test_answer_that_has_begun_is_cut_off(
    failing_server: tuple[str, "subprocess.Popen[str]"],
) -> None:
    url, _ = failing_server
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{url}/begun", timeout=TIMEOUT_S)
    assert requests.get(url, timeout=TIMEOUT_S).json() == {"ok": True}
