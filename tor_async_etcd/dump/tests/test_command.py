from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tor_async_etcd import Error
from tor_async_etcd.dump.command import Progress, connect, parser, run
from tor_async_etcd.testing import free_ports


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
    assert capsys.readouterr().out == "tor-async-suite 1.2.3\n"


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_USERNAME", "root")
    with pytest.raises(TypeError, match="belong together"):
        connect(parser("a command").parse_args([]))


def test_empty_credentials_of_the_environment_are_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_USERNAME", "")
    monkeypatch.setenv("ETCD_PASSWORD", "")
    connect(parser("a command").parse_args(["-a", "http://root:secret@host"]))


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "soon"])
def test_timeout_that_is_none_is_refused(timeout: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser("a command").parse_args(["--timeout", timeout])
    assert "--timeout" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["etcd_export"], ["etcd_import", "--dry-run", "dump.json"]])
def test_command_without_an_etcd_says_at_once_that_it_waits(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "dump.json").write_text("{}")
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    name, *arguments = command
    with subprocess.Popen(  # noqa: S603 - this package's own command
        [sys.executable, "-m", f"tor_async_etcd.dump.{name}", "-a", address, "-t", "3", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert process.poll() is None  # it has time left, and uses it
        refusal = f"cannot connect to {address}"
        assert first.startswith(f"etcd does not answer as it should, trying again: {refusal}")
        assert process.stderr.read().startswith(refusal)
    assert process.returncode == 1


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
