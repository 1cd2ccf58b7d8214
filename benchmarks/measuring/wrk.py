"""Load from wrk (https://github.com/wg/wrk): it takes next to nothing from the cores that it shares."""

import base64
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from suite.couchdb import CouchDB
from suite.errors import SuiteError

_SCRIPT = Path(__file__).parent / "load.lua"
_ANSWER_TIMEOUT_S = 60  # longer than any service takes, so that wrk counts every answer
_STOP_TIMEOUT_S = 30


@dataclasses.dataclass(frozen=True)
class Load:
    """So many connections, each of which asks again as soon as it has an answer."""

    connections: int
    seconds: int
    percent_put: int


class Outcome(msgspec.Struct, frozen=True):
    """What wrk saw. Refusals are answers with a status of 400 or above, failures have no answer at all."""

    duration_s: float
    answers: int
    refusals: int
    failures: int
    puts_sent: int
    p50_ms: float
    p99_ms: float

    @property
    def successes(self) -> int:
        """The answers that were not refusals."""
        return self.answers - self.refusals

    @property
    def successes_per_s(self) -> float:
        """The rate at which requests succeeded."""
        return self.successes / self.duration_s


@dataclasses.dataclass(frozen=True)
class Target:
    """Where requests go: to `url`, for the path before and after a fruit's id."""

    url: str
    path_before_id: str = "/v1.0/fruits/"
    path_after_id: str = ""
    authorization: str = ""

    @classmethod
    def view(cls, couchdb: CouchDB, database: str) -> "Target":
        """CouchDB itself, asked for a fruit as a service without a memory asks for it."""
        credentials = base64.b64encode(f"{couchdb.username}:{couchdb.password}".encode()).decode()
        view = f"/{database}/_design/fruit_by_fruit_id/_view/fruit_by_fruit_id"
        return cls(couchdb.url, f"{view}?key=%22", "%22&include_docs=true&limit=1", f"Basic {credentials}")


def put_load(target: Target, fruit_ids: Sequence[str], load: Load) -> Outcome:
    """What became of the load.

    Raises:
        SuiteError: wrk is not installed, or failed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as ids_file:
        ids_file.write("\n".join(fruit_ids))
        ids_file.flush()
        options = ["-t1", f"-c{load.connections}", f"-d{load.seconds}s", f"--timeout={_ANSWER_TIMEOUT_S}s"]
        arguments = [ids_file.name, str(load.percent_put), target.path_before_id, target.path_after_id]
        command = [_find_wrk(), *options, "-s", str(_SCRIPT), target.url, "--", *arguments]
        environment = os.environ | (
            {"WRK_AUTHORIZATION": target.authorization} if target.authorization else {}
        )
        completed = subprocess.run(  # noqa: S603 - the benchmark's own command, no shell
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=load.seconds + _STOP_TIMEOUT_S,
            check=False,
        )
    return parse_outcome(completed.stdout, completed.stderr)


def parse_outcome(output: str, errors: str) -> Outcome:
    """The outcome in the last line that load.lua printed.

    Raises:
        SuiteError: it printed none.
    """
    lines = output.strip().splitlines()
    try:
        return msgspec.json.decode(lines[-1] if lines else "", type=Outcome)
    except msgspec.MsgspecError as error:
        words = (errors.strip().splitlines() or lines or ["it printed nothing"])[-1]
        raise SuiteError(f"wrk failed: {words}") from error


def wrk_version() -> str:
    """For instance "4.1.0-3+b2"."""
    completed = subprocess.run(  # noqa: S603 - the benchmark's own command, no shell
        [_find_wrk(), "-v"], capture_output=True, text=True, timeout=_STOP_TIMEOUT_S, check=False
    )
    words = completed.stdout.split()
    return words[1].removeprefix("debian/") if len(words) > 1 else "of an unknown version"


def _find_wrk() -> str:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SuiteError(
            "The load comes from wrk, which is not on the PATH: install it (Debian: apt install wrk)."
        )
    return wrk
