"""What happens during one request: the source of its response headers, and of its metrics."""

from tor_async_couchdb.errors import CouchDBError, TamperedError
from tor_async_couchdb.observer import Observer
from tor_async_service.tracing.tracer import RequestSpan


class RequestObserver(Observer):
    """Counts what happens during one request, and reports the rest to the service's observer.

    Conflicts and retries are also events of the request's span.
    """

    __slots__ = ("_service", "_span", "conflict_count", "retry_count", "retry_wait_s", "tampered_count")

    def __init__(self, service: Observer, span: RequestSpan) -> None:
        self._service = service
        self._span = span
        self.conflict_count = 0
        self.retry_count = 0
        self.retry_wait_s = 0.0
        self.tampered_count = 0  # documents that lists leave out

    def write_conflicted(self) -> None:
        """See `Observer.write_conflicted`."""
        self.conflict_count += 1
        self._span.add_event("couchdb.conflict")

    def retried(self, pause_s: float) -> None:
        """See `Observer.retried`."""
        self.retry_count += 1
        self.retry_wait_s += pause_s
        self._span.add_event("couchdb.retry", {"pause_s": pause_s})

    def answered(self, status: int, duration_s: float) -> None:
        """The request was answered with `status`, after `duration_s` seconds."""

    def write_partly_accepted(self) -> None:
        """See `Observer.write_partly_accepted`."""
        self._service.write_partly_accepted()

    def write_sealed(self, how: str, duration_s: float) -> None:
        """See `Observer.write_sealed`."""
        self._service.write_sealed(how, duration_s)

    def leaves_buried(self, count: int) -> None:
        """See `Observer.leaves_buried`."""
        self._service.leaves_buried(count)

    def foreign_leaves_met(self, count: int) -> None:
        """See `Observer.foreign_leaves_met`."""
        self._service.foreign_leaves_met(count)

    def dead_leaves_met(self, count: int) -> None:
        """See `Observer.dead_leaves_met`."""
        self._service.dead_leaves_met(count)

    def tampering_detected(self, error: TamperedError) -> None:
        """See `Observer.tampering_detected`."""
        self._service.tampering_detected(error)

    def document_left_out(self, error: CouchDBError) -> None:
        """See `Observer.document_left_out`."""
        self.tampered_count += isinstance(error, TamperedError)
        self._service.document_left_out(error)

    def conflict_found(self) -> None:
        """See `Observer.conflict_found`."""
        self._service.conflict_found()

    def conflict_merged(self, superseded_count: int) -> None:
        """See `Observer.conflict_merged`."""
        self._service.conflict_merged(superseded_count)

    def conflict_failed(self, error: CouchDBError) -> None:
        """See `Observer.conflict_failed`."""
        self._service.conflict_failed(error)
