"""An observer that records what it learns."""

from tor_async_couchdb.errors import CouchDBError, TamperedError
from tor_async_couchdb.observer import Observer


class RecordingObserver(Observer):
    """Counts conflicts, and records pauses (in seconds) and errors in the order of their reports."""

    def __init__(self) -> None:
        self.conflict_count = 0
        self.pauses_s: list[float] = []
        self.tampered: list[TamperedError] = []
        self.left_out: list[CouchDBError] = []

    def write_conflicted(self) -> None:
        self.conflict_count += 1

    def retried(self, pause_s: float) -> None:
        self.pauses_s.append(pause_s)

    def tampering_detected(self, error: TamperedError) -> None:
        self.tampered.append(error)

    def document_left_out(self, error: CouchDBError) -> None:
        self.left_out.append(error)
