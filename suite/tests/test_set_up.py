"""What the commands do before anything is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from suite.table import ROOT

_COMMANDS = ("run_all_samples.sh", "test_all_samples.sh", "new_service.sh")
_TIMEOUT_S = 60


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the commands need to check their options, without a `.venv`."""
    for name in (*_COMMANDS, "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "suite").mkdir()
    for name in ("set_up.sh", "options.py", "table.py", "__init__.py"):
        shutil.copy(ROOT / "suite" / name, tmp_path / "suite")
    shutil.copytree(ROOT / "new_service", tmp_path / "new_service")
    return tmp_path


def _run(checkout: Path, command: str, *options: str, **environment: str) -> tuple[int, str]:
    completed = subprocess.run(  # noqa: S603 - the commands themselves
        [checkout / command, *options],
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert not (checkout / ".venv").exists()
    return completed.returncode, completed.stdout


def _fake_python(folder: Path, *names: str, version: str) -> Path:
    """A Python that only knows its version, which is too old."""
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / name
        path.write_text(f'#!/bin/sh\ncase "$2" in *python_version*) echo {version};; *) exit 1;; esac\n')
        path.chmod(0o755)
    return folder / names[0]


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_needs_no_installation(checkout: Path, command: str) -> None:
    status, output = _run(checkout, command, "--help")
    assert status == 0
    assert output.startswith(f"usage: ./{command}")
    assert "options:" in output


@pytest.mark.parametrize("command", _COMMANDS)
def test_wrong_option_is_said_before_anything_is_installed(checkout: Path, command: str) -> None:
    status, output = _run(checkout, command, "place", "--twice")
    assert status == 2
    assert output.splitlines()[-1].partition("error: ")[2].startswith("unrecognized arguments: ")


def test_python_that_is_none_is_an_error(checkout: Path) -> None:
    status, output = _run(checkout, "run_all_samples.sh", PYTHON="/bin/false")
    assert status == 1
    assert output == (
        "PYTHON is /bin/false, which is no Python: set it to one of 3.11 or newer, or unset it.\n"
    )


def test_python_that_is_too_old_is_an_error(checkout: Path, tmp_path: Path) -> None:
    old = _fake_python(tmp_path / "bin", "python3", version="3.9.2")
    status, output = _run(checkout, "run_all_samples.sh", PYTHON=str(old))
    assert status == 1
    assert output == f"PYTHON is {old}, which is Python 3.9.2: 3.11 or newer is needed.\n"


def test_without_a_python_that_is_new_enough_it_is_said_what_is_there(checkout: Path, tmp_path: Path) -> None:
    names = [f"python3.{minor}" for minor in range(11, 15)]
    _fake_python(tmp_path / "bin", "python3", "python", version="3.9.2")
    for name in names:
        _fake_python(tmp_path / "bin", name, version="''")
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    status, output = _run(checkout, "run_all_samples.sh", PATH=path, PYTHON="")
    assert status == 1
    assert output == (
        "Python 3.11 or newer is needed, and here python3 is 3.9.2, python is 3.9.2: "
        "install it, or set PYTHON to where it is.\n"
    )
