"""Documents with encrypted properties."""

from typing import Annotated, Any

from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import Immutable, Protection, Subject

HOME = "12 Orchard Lane"


class Person(Model, tag="person_v1.0"):
    """A subject with encrypted and hashed properties."""

    person_id: Annotated[str | None, Immutable(), Protection.PUBLIC, Subject()] = None
    address: Annotated[str | None, Immutable(), Protection.ENCRYPTED] = None
    ages: Annotated[list[int] | None, Immutable(), Protection.ENCRYPTED] = None
    pin_hash: Annotated[str | None, Immutable(), Protection.HASHED] = None


def person(**properties: Any) -> Document:
    """The document of a person, before it is encrypted."""
    return {"_id": "1", "type": "person_v1.0", "person_id": "jane", "address": HOME, "ages": [1, 2]} | (
        properties
    )
