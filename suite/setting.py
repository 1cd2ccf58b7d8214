"""What a run starts, and where."""

import dataclasses
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from suite.errors import SuiteError
from suite.table import SAMPLES, Sample


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a run starts, and where: its samples, its folder and its ports (0 is any free one)."""

    samples: Sequence[Sample] = SAMPLES
    folder: Path = Path(".run")  # in the root of the repository, where run_all_samples.sh goes first
    couchdb_port: int = 5984
    page_port: int = 8089
    watch_port: int = 8088

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    @property
    def page_url(self) -> str:
        """Where locust's page is."""
        return f"http://127.0.0.1:{self.page_port}"

    @property
    def watch_url(self) -> str:
        """Where the page is that shows what happens."""
        return f"http://127.0.0.1:{self.watch_port}"

    def check_ports(self, *, has_watch_page: bool) -> None:
        """Checks that all ports are free.

        Raises:
            SuiteError: one is in use.
        """
        ports = {self.page_port: "locust's page"} | {
            sample.port_of(number): sample.label(number)
            for sample in self.samples
            if sample.port
            for number in sample.numbers
        }
        if has_watch_page:
            ports[self.watch_port] = "the page that shows what happens"
        if "COUCHDB_URL" not in os.environ:
            ports[self.couchdb_port] = (
                "the CouchDB stand-in (set COUCHDB_URL if what listens there is your CouchDB)"
            )
        for port, name in sorted(ports.items()):
            if not _is_free(port):
                raise SuiteError(f"Port {port} is in use and needed for {name}: stop what listens there.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
