"""Where the library reports what happens: the chassis makes metrics and response headers of it."""

from collections.abc import Mapping

from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.errors import CouchDBError, TamperedError


class Observer:
    """Receives every fact worth counting; this one ignores them. Its methods must not block or raise."""

    def request_finished(
        self, call: Call, outcome: Outcome, duration_s: float, trace: Mapping[str, str] | None = None
    ) -> None:
        """A request to CouchDB ended; `trace` has the ids of its span if that is recorded."""

    def write_conflicted(self) -> None:
        """CouchDB refused a write because the document had changed since it was read."""

    def document_read(self, document_id: str | None, duration_s: float) -> None:
        """A read ended; `document_id` is None if it was not of one document. From `TracedDatabase` only."""

    def document_written(self, document_id: str, duration_s: float, *, is_conflict: bool) -> None:
        """A write of a document ended; `is_conflict` if it lost a race. From `TracedDatabase` only."""

    def retried(self, pause_s: float) -> None:
        """An attempt failed and is made again after a pause of `pause_s` seconds."""

    def write_partly_accepted(self) -> None:
        """Fewer copies on a cluster took a write than it asked for; others refused it, or are down."""

    def write_sealed(self, how: str, duration_s: float) -> None:
        """A write to a cluster was acknowledged, `duration_s` seconds after it was sent.

        `how` says what that took: "unread" nothing but the write, "read" a read of all copies, "pushed" a
        push to all copies as well, "padded" also a child without a change.
        """

    def leaves_buried(self, count: int) -> None:
        """So many leaf revisions that had lost a race on a cluster were deleted."""

    def foreign_leaves_met(self, count: int) -> None:
        """A write to a cluster met so many live leaf revisions that this library did not write there.

        Replication brought them, or another program wrote them. They are never buried.
        """

    def dead_leaves_met(self, count: int) -> None:
        """A write to a cluster read its document, which has so many leaf revisions that are deleted."""

    def tampering_detected(self, error: TamperedError) -> None:
        """A read met a document that was tampered with. It is reported at each such read."""

    def document_left_out(self, error: CouchDBError) -> None:
        """A list leaves out a document that was tampered with or does not fit its model."""

    def conflict_found(self) -> None:
        """A reader or the reconciler met a document with conflicting revisions."""

    def conflict_merged(self, superseded_count: int) -> None:
        """Conflicting revisions were merged; `superseded_count` values lost to later ones."""

    def conflict_failed(self, error: CouchDBError) -> None:
        """Conflicting revisions could not be merged."""

    def conflict_ended(self, lag_s: float) -> None:
        """A document has no conflict any more, `lag_s` seconds after the reconciler learned of it."""
