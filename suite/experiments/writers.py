"""Clients that change one fruit, and what became of their changes.

Each change has an Idempotency-Key of its own. Where answers have an ETag, a change names the one it read.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import requests

from loadgen.writes import Demands

WRITERS = 8
_WAIT_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.02
_NO_ANSWER = 0
TOLD_NO = {409, 412}
"""The statuses that tell a client that another one was faster."""


class Writers:
    """Threads that change a new fruit of the service at `service_url` as fast as it answers.

    `answers` has the moment (monotonic, in seconds), the status and the problem type of each answer; the
    status is 0 if none came.
    """

    def __init__(self, service_url: str) -> None:
        fruits = f"{service_url}/v1.0/fruits"
        key = Demands(key=True).headers("")
        created = requests.post(fruits, json={"color": "red"}, headers=key, timeout=_REQUEST_TIMEOUT_S)
        created.raise_for_status()
        self._demands = Demands(etag="ETag" in created.headers, key=True)
        self._url = f"{fruits}/{created.json()['fruit_id']}"
        self._stop = threading.Event()
        self.answers: list[tuple[float, int, str]] = []
        self.acknowledged: list[int] = []
        """The change count in each answer to a successful change."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The writers run during the block; all their requests have been answered when it ends."""
        threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    @property
    def statuses(self) -> set[int]:
        """The statuses of all answers."""
        return {status for _, status, _ in self.answers}

    @property
    def unknown(self) -> int:
        """How many changes have an unknown outcome."""
        return sum(problem.endswith("outcome-unknown") for _, _, problem in self.answers)

    def stored(self) -> int:
        """The change count that the service reads from the database."""
        answer = requests.get(self._url, timeout=_REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        return int(answer.json()["change_count"])

    def wait_for_successes(self, count: int, *, after_s: float = 0.0) -> None:
        """Returns once `count` changes have succeeded after a moment (monotonic, in seconds).

        Raises:
            TimeoutError: they have not within a minute.
        """
        self.wait_until(
            lambda: sum(moment_s > after_s and status == 200 for moment_s, status, _ in self.answers) >= count
        )

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Returns once `is_so()` is true.

        Raises:
            TimeoutError: it is not within a minute.
        """
        deadline_s = time.monotonic() + _WAIT_TIMEOUT_S
        while not is_so():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"waited {_WAIT_TIMEOUT_S:.0f} s; statuses so far: {self.statuses}")
            time.sleep(_POLL_INTERVAL_S)

    def check(self) -> None:
        """Compares what the clients were told with what is stored.

        Raises:
            AssertionError: an acknowledged change was lost, or a change was applied twice.
        """
        stored, acknowledged = self.stored(), self.acknowledged
        figures = f"{len(acknowledged)} acknowledged, {self.unknown} unknown, {stored} stored"
        if len(set(acknowledged)) < len(acknowledged):
            raise AssertionError(f"two changes were acknowledged with the same count: {figures}")
        if not len(acknowledged) <= stored <= len(acknowledged) + self.unknown:
            raise AssertionError(f"changes were lost or applied twice: {figures}")
        if acknowledged and max(acknowledged) > stored:
            raise AssertionError(f"a change count went back: {figures}")

    def _write(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                try:
                    answer = self._change(session)
                except requests.RequestException:  # the service is gone; the change may be in the database
                    self.answers.append((time.monotonic(), _NO_ANSWER, "outcome-unknown"))
                    time.sleep(_POLL_INTERVAL_S)
                    continue
                body = answer.json()
                if answer.status_code == 200:
                    self.acknowledged.append(body["change_count"])
                self.answers.append((time.monotonic(), answer.status_code, body.get("type", "")))

    def _change(self, session: requests.Session) -> requests.Response:
        etag = ""
        if self._demands.etag:
            read = session.get(self._url, timeout=_REQUEST_TIMEOUT_S)
            if read.status_code != 200:
                return read
            etag = read.headers["ETag"]
        headers = self._demands.headers(etag)
        return session.put(self._url, json={"color": "blue"}, headers=headers, timeout=_REQUEST_TIMEOUT_S)
