"""Child processes that log to files and end with the suite."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from suite.errors import SuiteError

# What ends the suite: Ctrl-C, its shell, its terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_STOP_TIMEOUT_S = 15.0  # a service takes up to 10 s to finish what is in flight
_POLL_INTERVAL_S = 0.05


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Makes SIGTERM and Ctrl-C end the block and then the process, with status 130."""
    # A process that a shell starts in the background ignores SIGINT, and so do its children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Delays signals until the block has ended, so that all it has started is registered to be stopped."""
    arrived: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])


class Process:
    """A command that runs until `stop()`; its output goes to `log`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - commands of the suite's own, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(environment),
                start_new_session=True,  # Ctrl-C reaches only the suite, which stops its processes in order
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it is still running."""
        return self._popen.poll() is None

    @property
    def exit_status(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self._popen.poll()

    def suspend(self) -> None:
        """Sends SIGSTOP: the process keeps its connections and does nothing until `resume()`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a suspension."""
        self._send(signal.SIGCONT)

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Returns once `is_ready()` is true.

        Raises:
            SuiteError: the process ended first, or was not ready within `timeout_s` seconds.
        """
        deadline_s = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running:
                raise SuiteError(
                    f"{self.name} ended before it was ready: {self._last_line()} (see {self.log})"
                )
            if time.monotonic() > deadline_s:
                raise SuiteError(f"{self.name} was not ready within {timeout_s:.0f} s: see {self.log}.")
            time.sleep(_POLL_INTERVAL_S)

    def wait(self) -> int:
        """Waits until it ends by itself; its exit status."""
        return self._popen.wait()

    def ask_to_stop(self) -> None:
        """Sends SIGTERM and returns at once."""
        self._send(signal.SIGTERM)

    def stop(self) -> None:
        """Sends SIGTERM, after a while SIGKILL; returns when the process has ended."""
        self.ask_to_stop()
        try:
            self._popen.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Sends SIGKILL to the process and its children; returns when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def _send(self, number: signal.Signals) -> None:
        if self.is_running:
            self._popen.send_signal(number)

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it printed nothing"
