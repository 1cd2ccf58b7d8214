"""The data: what a fruit is, and what is told when one has changed."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tor_async_couchdb import Change, InvalidDocumentError, Model, Timestamp, UniqueKey

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Fruit(Model, tag="fruit_v1.0"):
    """A fruit, as the services that write fruits store it."""

    fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
    color: Color
    created_on: Timestamp
    updated_on: Timestamp
    change_count: Annotated[int, msgspec.Meta(ge=0)] = 0


class FruitChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """The latest state of a document. `fruit` is None if it is deleted: it may have been a fruit."""

    document_id: str
    fruit: Fruit | None = None


def fruit_changes(changes: Sequence[Change]) -> list[FruitChange]:
    """What there is to tell of these changes; documents that are no fruits are left out."""
    told = []
    for change in changes:
        if change.deleted:
            told.append(FruitChange(change.id))
        elif change.doc is not None and change.doc.get("type") == Fruit.type_name():
            if change.error is not None:
                continue  # what can't be read may have a default, so the rest would look whole
            try:
                told.append(FruitChange(change.id, Fruit.from_doc(change.doc)))
            except InvalidDocumentError:
                continue  # its readers report it
    return told
