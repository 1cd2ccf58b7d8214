from __future__ import annotations

import io

import pytest

from tor_async_etcd import Error
from tor_async_etcd.dump.command import Progress, connect, parser, run


async def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Error(7, "permission denied"), 1, "permission denied (code 7)\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "[Errno 2] No such file: 'x'\n"),
        (ValueError("bad"), 1, "bad\n"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    assert run(fail(error)) == status
    assert capsys.readouterr() == ("", said)


def test_version_is_the_distributions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1.2.3")
    with pytest.raises(SystemExit) as done:
        parser("").parse_args(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == "tor-async-couchdb 1.2.3\n"


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_USERNAME", "root")
    with pytest.raises(TypeError, match="belong together"):
        connect(None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_to_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), "\r1,000 keys\n"), (io.StringIO(), "")):
        monkeypatch.setattr("sys.stderr", stream)
        progress = Progress("keys")
        progress.show(1000)
        progress.end()
        assert stream.getvalue() == shown
