"""Who wants to know what the library does: the chassis turns this into metrics."""

from tor_async_couchdb.errors import CouchDBError, TamperedError


class Observer:
    """Told of everything worth counting; this one counts nothing. Its methods must not block or raise."""

    def request_finished(self, operation: str, status: int | None, duration_s: float) -> None:
        """A request to CouchDB ended with an HTTP status, or with none."""

    def tampering_detected(self, error: TamperedError) -> None:
        """A document that was tampered with was read, alone or for a list; again each time."""

    def document_left_out(self, error: CouchDBError) -> None:
        """A list went without a document that was tampered with or does not fit its model."""

    def conflict_found(self) -> None:
        """A document with conflicting revisions was met, by a reader or by a reconciler."""

    def conflict_merged(self, superseded_count: int) -> None:
        """These revisions were merged; so many values lost to later ones by it."""

    def conflict_failed(self, error: CouchDBError) -> None:
        """These revisions were not merged."""

    def conflict_ended(self, lag_s: float) -> None:
        """A document is without a conflict, so many seconds after the reconciler was told of it."""
