"""The replication between two masters: up, cut, or slow."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from suite.errors import SuiteError
from suite.faults.link import Link, late
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect


class MastersLink:
    """The link between the two masters of a sample; `urls` are their databases, by the masters' names.

    It can be slow only if there is a `detour`, which is open: CouchDB then replicates through its proxies.
    """

    def __init__(
        self, sample: str, urls: Mapping[str, str], credentials: UserPassword, detour: Link | None = None
    ) -> None:
        self.sample = sample
        self.urls = dict(urls)
        self._direct = [Master.from_url(url, credentials) for url in urls.values()]
        self._detour = detour
        self._around = (
            self._direct
            if detour is None
            else [Master.from_url(detour.through(url), credentials) for url in urls.values()]
        )
        self._is_cut = False
        self._delay_s = 0.0
        self._connected: list[Master] | None = self._direct
        self._changing = threading.RLock()

    @property
    def can_be_slow(self) -> bool:
        """Whether there is a detour."""
        return self._detour is not None

    @property
    def state(self) -> str:
        """`up`, `cut` or `slow`."""
        return "cut" if self._is_cut else "slow" if self._delay_s else "up"

    def cut(self) -> None:
        """Ends the replication.

        Raises:
            SuiteError: CouchDB can't be asked to.
        """
        with self._changing:
            self._is_cut = True
            self._apply()

    def join(self) -> None:
        """Starts the replication again, as slow as it was before.

        Raises:
            SuiteError: CouchDB can't be asked to.
        """
        with self._changing:
            self._is_cut = False
            self._apply()

    def delay(self, seconds: float) -> None:
        """Makes each request of the replication arrive so much later; 0 ends that.

        Raises:
            SuiteError: CouchDB can't be asked to.
        """
        with self._changing:
            self._delay_s = seconds
            if self._detour is not None:
                self._detour.put("delay", late(seconds))
            self._apply()

    def _apply(self) -> None:
        wanted = None if self._is_cut else self._around if self._delay_s else self._direct
        with _errors_as_sentences():
            if self._connected not in (None, wanted):
                disconnect(*self._connected)
                self._connected = None
            if wanted is not None:
                connect(*wanted)
                self._connected = wanted


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    try:
        yield
    except (InstallerError, CouchDBError) as error:
        raise SuiteError(f"The link between the masters can't be changed: {error}") from error
