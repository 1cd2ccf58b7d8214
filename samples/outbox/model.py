"""The data: what the receiver is told of a document, and what is kept of a notice that it does not accept."""

from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb import Change, Model, Timestamp, now

ELECTION = b"samples/outbox/election"
CHECKPOINT = "samples-outbox"
_DEAD_LETTER = "dead_letter:"
_NOT_TOLD = (_DEAD_LETTER, "_design/")


class Notice(msgspec.Struct, frozen=True):
    """The latest state of a document. `document` is without CouchDB's own properties; None if deleted."""

    document_id: str
    rev: str
    document: dict[str, Any] | None

    @classmethod
    def of(cls, change: Change) -> Self:
        """The notice of a change."""
        if change.deleted or change.doc is None:
            return cls(change.id, change.rev, None)
        own = {name: value for name, value in change.doc.items() if not name.startswith("_")}
        own.pop("write_nonces_v1.0", None)  # the library's
        return cls(change.id, change.rev, own)


def is_told(change: Change) -> bool:
    """Whether the receiver is told of this change."""
    return not change.id.startswith(_NOT_TOLD)


class DeadLetter(Model, tag="dead_letter_v1.0"):
    """A notice that the receiver has refused too often, and its last answer; or why it can't be sent."""

    document_id: str
    document_rev: str
    answer: str
    tries: Annotated[int, msgspec.Meta(ge=0)]
    created_on: Timestamp

    @classmethod
    def create(cls, notice: Notice, answer: str, tries: int) -> Self:
        """A letter whose id is that of the state: it is written once, however often that is handled."""
        return cls(
            id=f"{_DEAD_LETTER}{notice.document_id}:{notice.rev}",
            document_id=notice.document_id,
            document_rev=notice.rev,
            answer=answer,
            tries=tries,
            created_on=now(),
        )
