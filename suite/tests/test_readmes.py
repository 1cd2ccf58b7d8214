"""The commands of all documents, run as a reader would, and their answers, compared with those shown there.

A ```bash block is a script that has to succeed; one that starts a server leaves it running until its README
ends. The two main commands and the benchmarks take too long: only their options are checked. In a ```console
block the lines after "$ " are the script, and the others are what it has to answer. The READMEs' ports are
mapped to those where the test's services are. Ids, times and numbers may differ.
"""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from suite.background import EventLoopThread
from suite.control.load import LoadControl
from suite.control.server import Controls, control_server
from suite.environment_file import environment_file
from suite.faults.tests.playing import Play, playing
from suite.options import parse_run, parse_test
from suite.table import ROOT, SAMPLES, sample_named
from tor_async_etcd.testing import free_ports

_BIN = Path(sys.executable).parent
_NOT_OURS = {"node_modules", ".venv", ".run", ".nox", ".pytest_cache"}
_DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not _NOT_OURS.intersection(path.relative_to(ROOT).parts)
)
_BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SERVER = re.compile(
    r"(?:-m (?:embedded_couchdb|samples\.\S+\.service) .*--port |/locust .*--web-port "
    r"|/etcd .*--listen-client-urls \S+:)(\d+)",
    re.DOTALL,
)
_PORT = re.compile(r"(127\.0\.0\.1:|--(?:web-)?port )(\d+)")
# These two set up everything that the tests themselves run on.
_MAIN_COMMAND = re.compile(r"^\./(run|test)_all_samples\.sh\b.*$", re.MULTILINE)
_BENCHMARK = re.compile(r"^.venv/bin/python -m benchmarks (\S.*)$", re.MULTILINE)
# It makes a folder outside of this one.
_NEW_SERVICE = re.compile(r"^\./new_service\.sh ((?:.*\\\n)*.*)$", re.MULTILINE)
_PARSE = "import sys; from {}.__main__ import parse; parse(sys.argv[1:])"
_TIMEOUT_S = 120.0
# Those that a README sets, and those of .run/environment.
_VARIABLES = "^declare -(-|x) ([a-z_]+|(COUCHDB|CRUD|SUITE)[A-Z0-9_]*)="
_VARIES = re.compile(
    r"[0-9a-f]{32}|\b[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2}\b|W/\"\w+\"|\"[0-9a-f]{40}\"|\d[\d.,]*"
)

Ports = dict[str, int]


@dataclass(frozen=True)
class Suite:
    """What runs while a README is read: where its samples are, by the ports that the suite gives to them."""

    ports: Ports
    environment: str


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """All samples, with what run_all_samples.sh offers to other terminals."""
    folder = tmp_path_factory.mktemp("readmes")
    with (
        playing([sample.name for sample in SAMPLES], folder) as play,
        EventLoopThread() as loop,
        control_server(_controls(play), loop) as control,
        environment_file(folder, play.stage.couchdb, play.commands, control.environment) as environment,
    ):
        yield Suite(
            {
                str(sample_named(service.sample.name).port_of(service.command.number)): int(
                    service.url.rpartition(":")[2]
                )
                for service in play.stage.supervisor.services.values()
            },
            environment.read_text(),
        )


def _controls(play: Play) -> Controls:
    load = LoadControl("http://127.0.0.1:1", play.stage.supervisor)
    return Controls(play.stage, play.switchboard, load)


class Terminal:
    """Runs a README's blocks, one after the other. Variables live on, as they do in a reader's terminal."""

    def __init__(self, suite: Suite, folder: Path, stack: contextlib.ExitStack) -> None:
        self._ports = dict(suite.ports)
        self._folder = folder
        self._variables = folder / "variables"
        self._variables.touch()
        (folder / "environment").write_text(suite.environment)
        self._stack = stack
        self._environment = {name: value for name, value in os.environ.items() if "COUCHDB" not in name}

    def run(self, kind: str, block: str) -> None:
        """Runs a block; AssertionError if it fails or answers something else."""
        if kind == "console":
            commands, expected = _commands_and_answer(block)
            assert _masked(self._answer(commands)) == _masked(expected)
        elif server := _SERVER.search(block):
            self._start_server(block, server[1])
        else:
            for command in _MAIN_COMMAND.finditer(block):
                self._check_main_command(shlex.split(command[0], comments=True))
            for package, pattern in (("benchmarks", _BENCHMARK), ("new_service", _NEW_SERVICE)):
                for found in pattern.finditer(block):
                    self._check_options(package, shlex.split(found[1].replace("\\\n", " "), comments=True))
                block = pattern.sub("", block)
            self._answer(_MAIN_COMMAND.sub("", block))

    def _answer(self, commands: str) -> str:
        completed = subprocess.run(  # noqa: S603 - what the repository's own READMEs say
            ["/usr/bin/env", "bash", "-euo", "pipefail", "-c", self._with_variables(commands)],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert completed.returncode == 0, f"{commands}\n{completed.stdout}"
        return completed.stdout

    def _with_variables(self, commands: str) -> str:
        file = shlex.quote(str(self._variables))
        return f"source {file}\n{self._translated(commands)}\ndeclare -p | grep -E '{_VARIABLES}' >{file}"

    def _check_main_command(self, words: list[str]) -> None:
        assert os.access(ROOT / words[0], os.X_OK)
        (parse_run if "run_all" in words[0] else parse_test)(words[1:])

    def _check_options(self, package: str, words: list[str]) -> None:
        # In a process of its own, as the suite does not import the packages above it.
        command = [sys.executable, "-c", _PARSE.format(package), *words]
        subprocess.run(command, cwd=ROOT, check=True, timeout=_TIMEOUT_S)  # noqa: S603 - the READMEs' own

    def _start_server(self, block: str, port: str) -> None:
        self._ports[port] = free_ports(1)[0]
        log = self._folder / f"{port}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603 - what the repository's own READMEs say
                ["/usr/bin/env", "bash", "-c", self._translated(block)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(_stop, server)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not _is_listening(self._ports[port]):
            assert server.poll() is None, f"{block}\n{log.read_text()}"
            assert time.monotonic() < deadline_s, f"{block}\n{log.read_text()}"
            time.sleep(0.05)

    def _translated(self, commands: str) -> str:
        """The commands with the ports and the folders of this test."""
        for _, port in _PORT.findall(commands):
            self._ports.setdefault(port, free_ports(1)[0])
        commands = _PORT.sub(lambda match: f"{match[1]}{self._ports[match[2]]}", commands)
        return commands.replace(".venv/bin/", f"{_BIN}/").replace(".run/", f"{self._folder}/")


def _commands_and_answer(block: str) -> tuple[str, str]:
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*\n)", block, re.MULTILINE)
    return "".join(commands), re.sub(r"^\$ (?:.*\\\n)*.*\n", "", block, flags=re.MULTILINE)


def _masked(text: str) -> list[str]:
    return [_VARIES.sub("#", line).rstrip() for line in text.splitlines() if line.strip()]


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stop(server: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(_TIMEOUT_S)
    finally:
        if server.stdin is not None:
            server.stdin.close()


@pytest.mark.parametrize(
    "readme",
    [document for document in _DOCUMENTS if _BLOCK.search(document.read_text())],
    ids=lambda readme: str(readme.relative_to(ROOT)),
)
def test_commands_of_a_readme_do_what_it_says(readme: Path, suite: Suite, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        terminal = Terminal(suite, tmp_path, stack)
        for kind, block in _BLOCK.findall(readme.read_text()):
            terminal.run(kind, block)


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_relative_links_of_a_document_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)|src=\"([^\"]+)\"", document.read_text())
    targets = [link or source for link, source in links if ":" not in (link or source)]
    assert [target for target in targets if not _leads_somewhere(document, target)] == []


def _leads_somewhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = document.parent / path if path else document
    return file.exists() and (not anchor or anchor in _anchors(file))


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_ladder_has_a_row_with_its_ports_for_each_sample() -> None:
    ladder = (ROOT / "samples" / "README.md").read_text()
    rows = re.findall(r"^\| \[(\S+)\]\(.*\| ([\d, ]+) \|$", ladder, re.MULTILINE)
    ports = {sample.name: ", ".join(str(sample.port_of(n)) for n in sample.numbers) for sample in SAMPLES}
    assert dict(rows) == ports


def test_main_readme_has_a_row_for_each_sample() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| \[(\S+)\]\(samples/\S+/README.md\) \|", readme, re.MULTILINE)
    assert sorted(set(rows)) == sorted(sample.name for sample in SAMPLES)


def test_a_wrong_answer_in_a_readme_is_noticed(suite: Suite, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(AssertionError):
        Terminal(suite, tmp_path, stack).run("console", "$ echo red\nblue\n")


def test_a_failing_command_in_a_readme_is_noticed(suite: Suite, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(AssertionError):
        Terminal(suite, tmp_path, stack).run("bash", "curl --silent --fail http://127.0.0.1:8445/nothing\n")


@pytest.mark.parametrize("command", ["./run_all_samples.sh --twice", "./test_all_samples.sh --twice"])
def test_wrong_option_of_a_main_command_is_noticed(command: str, suite: Suite, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(SystemExit):
        Terminal(suite, tmp_path, stack).run("bash", f"{command}\n")


@pytest.mark.parametrize(
    "command",
    [
        ".venv/bin/python -m benchmarks storm --twice",
        "./new_service.sh crud/basic \\\n  ../new --model=New --twice",
    ],
)
def test_wrong_option_of_another_command_is_noticed(command: str, suite: Suite, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(subprocess.CalledProcessError):
        Terminal(suite, tmp_path, stack).run("bash", f"{command}\n")
