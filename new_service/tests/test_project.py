"""One sample becomes a project that passes its own tests; test_every_sample.py does it with all samples."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from new_service.git import git
from new_service.origin import pristine
from new_service.tests.making import TIMEOUT_S, assert_passes_its_tests, environment, made
from tor_async_etcd.testing import free_ports

PROPERTIES = (
    "--property=amount:int",
    "--property=background_color:str",
    "--property=email:str:encrypted",
    "--property=tax_number:int:hashed",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects") / "order-lines"
    return made(folder, "crud/exp_backoff", "--model=OrderLine", *PROPERTIES)


def files(project: Path) -> dict[str, str]:
    """The text of each file that git knows, by its path, without the memory of its origin."""
    paths = git(project, "ls-files", "--", ":!.origin").splitlines()
    return {path: (project / path).read_text() for path in paths}


def test_new_service_passes_its_own_tests(project: Path) -> None:
    output = assert_passes_its_tests(project)
    assert "All checks passed!" in output
    assert "Success: no issues found" in output
    assert re.search(r"\n\d{2} passed", output)


def test_nothing_of_the_sample_s_words_is_left(project: Path) -> None:
    left = {
        path: found
        for path, text in files(project).items()
        if (
            found := re.findall(
                r".*(?:fruit|\bcolor|my.service|[A-Z]+_[A-Z]+_?S\b\s*$).*", text, re.IGNORECASE
            )
        )
    }
    assert left == {}


def test_project_is_a_repository_with_one_commit_and_remembers_its_origin(project: Path) -> None:
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "log", "--format=%s").splitlines() == [
        "Make order-lines from the sample crud/exp_backoff of tor-async-suite"
    ]
    record = json.loads((project / ".origin" / "origin.json").read_text())
    assert {name: record[name] for name in ("sample", "package", "model", "plural", "properties")} == {
        "sample": "crud/exp_backoff",
        "package": "order_lines",
        "model": "OrderLine",
        "plural": "order_lines",
        "properties": [option.removeprefix("--property=") for option in PROPERTIES],
    }
    assert pristine(project) == files(project)


def test_project_needs_nothing_of_the_checkout_but_the_distribution(project: Path) -> None:
    lines = (project / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if "==" not in line and not line.startswith("#")] == [
        next(line for line in lines if line.startswith("tor-async-suite[otel,protection] @ file://"))
    ]
    imported = {
        name
        for path, text in files(project).items()
        if path.endswith(".py")
        for name in re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    }
    assert not imported & {"samples", "suite", "db_installer", "loadgen", "new_service"}


@pytest.fixture
def running(project: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of the service that ./run.sh runs."""
    (port,) = free_ports(1)
    log = tmp_path / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - what was just made
            [project / "run.sh", "--port", str(port), "--folder", tmp_path / "data"],
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait = ("--retry", "60", "--retry-delay", "1", "--retry-connrefused", "--output", os.devnull)
        subprocess.run(  # noqa: S603 - it waits until the service answers
            ["/usr/bin/env", "curl", "--silent", *wait, f"http://127.0.0.1:{port}/_health"],
            check=True,
            timeout=TIMEOUT_S,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, log.read_text()


def test_what_the_readme_says_to_try_works_on_what_run_sh_runs(project: Path, running: str) -> None:
    commands = re.findall(r"^curl .*$", (project / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 5
    answers = [
        subprocess.run(  # noqa: S603 - what the project's own README says
            ["/usr/bin/env", "bash", "-c", re.sub(r"http://127\.0\.0\.1:\d+", running, command) + " --fail"],
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        ).stdout
        for command in commands
    ]
    created, listed, found = map(json.loads, answers[1:4])
    assert (created["amount"], created["background_color"], created["email"]) == (1, "first", "first")
    assert "tax_number" not in created
    assert created in listed
    assert created in found
