"""A request whose steps are reported as events."""

import time
from typing import Any

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.observer import Observer
from tor_async_service.events import Event, EventLog, What
from tor_async_service.http.request_observer import RequestObserver
from tor_async_service.tracing.tracer import RequestSpan


class FollowedRequestObserver(RequestObserver):
    """Does what a `RequestObserver` does, and makes an event of each step."""

    __slots__ = ("_attempt", "_events", "_number")

    def __init__(
        self,
        service: Observer,
        span: RequestSpan,
        events: EventLog,
        number: int,
        method: str,
        path: str,
    ) -> None:
        super().__init__(service, span)
        self._events = events
        self._number = number
        self._attempt = 1
        self._report("begin", method=method, path=path)

    def document_read(self, document_id: str | None, duration_s: float) -> None:
        """See `Observer.document_read`."""
        self._report("read", document_id=document_id, duration_s=duration_s)

    def document_written(self, document_id: str, duration_s: float, *, is_conflict: bool) -> None:
        """See `Observer.document_written`."""
        what: What = "conflict" if is_conflict else "write"
        self._report(what, document_id=document_id, duration_s=duration_s)

    def retried(self, pause_s: float) -> None:
        """See `Observer.retried`."""
        super().retried(pause_s)
        self._report("wait", duration_s=pause_s)
        self._attempt += 1

    def tampering_detected(self, error: TamperedError) -> None:
        """See `Observer.tampering_detected`."""
        super().tampering_detected(error)
        self._report("tampered", document_id=error.document_id)

    def conflict_merged(self, superseded_count: int) -> None:
        """See `Observer.conflict_merged`."""
        super().conflict_merged(superseded_count)
        self._report("merged")

    def answered(self, status: int, duration_s: float) -> None:
        """See `RequestObserver.answered`."""
        self._report("end", status=status, duration_s=duration_s)

    def _report(self, what: What, **members: Any) -> None:
        self._events.add(Event(self._number, time.time(), what, self._attempt, **members))
