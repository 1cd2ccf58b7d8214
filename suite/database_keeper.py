"""Watches over the database while the services run: says that it is away, and starts the stand-in again."""

import threading
import time
from collections.abc import Callable

from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.launcher import EmbeddedCouchDB
from suite.couchdb import CouchDB
from suite.services import answers

_ASK_INTERVAL_S = 2.0


class DatabaseKeeper:
    """The database of a run; calls `say` with a sentence when it goes away or comes back."""

    def __init__(self, couchdb: CouchDB, say: Callable[[str], None]) -> None:
        self._couchdb = couchdb
        self._say = say
        self._is_down_on_purpose = False
        self._is_there = True
        self._asked_s = time.monotonic()
        self._changing = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the stand-in runs; of another CouchDB, whether it answered when it was last asked."""
        stand_in = self._couchdb.stand_in
        return self._is_there if stand_in is None else stand_in.is_running

    def look(self) -> None:
        """Starts the stand-in again if it has ended; asks another CouchDB, every two seconds."""
        stand_in = self._couchdb.stand_in
        if stand_in is not None:
            with self._changing:
                self._keep(stand_in)
        elif time.monotonic() - self._asked_s > _ASK_INTERVAL_S:
            self._ask()

    def kill(self) -> None:
        """Kills the stand-in (SIGKILL); it stays away until `start`."""
        with self._changing:
            self._is_down_on_purpose = True
            self._is_there = False
            if self._couchdb.stand_in is not None:
                self._couchdb.stand_in.kill()

    def start(self) -> None:
        """Starts the stand-in again, on the data that it has."""
        with self._changing:
            self._is_down_on_purpose = False
            if self._couchdb.stand_in is not None:
                self._keep(self._couchdb.stand_in)

    def _keep(self, stand_in: EmbeddedCouchDB) -> None:
        if stand_in.is_running or self._is_down_on_purpose:
            return
        if self._is_there:
            self._say(f"The database has ended; it is started again. Its log: {stand_in.log}")
        stand_in.kill()  # closes what is left of the process
        try:
            stand_in.start()
        except EmbeddedCouchDBError as error:
            if self._is_there:
                self._say(f"{error} It is tried again.")
            self._is_there = False
            return
        self._is_there = True
        self._say(f"The database runs again: {stand_in.url}")

    def _ask(self) -> None:
        # Without credentials: also a 401 is an answer.
        is_there = answers(f"{self._couchdb.url}/_up")
        self._asked_s = time.monotonic()
        if is_there != self._is_there:
            self._is_there = is_there
            how = "answers again" if is_there else "does not answer; the run goes on"
            self._say(f"The database at {self._couchdb.url} {how}.")
