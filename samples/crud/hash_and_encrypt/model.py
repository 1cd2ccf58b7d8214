"""The data: what a fruit and its owner are, and how each property is stored."""

import uuid
from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb.model.model import Model
from tor_async_couchdb.model.properties import (
    Counter,
    Immutable,
    Latest,
    LatestBy,
    Protection,
    Subject,
    UniqueKey,
)
from tor_async_couchdb.model.timestamps import Timestamp, next_after, now

PUBLIC, HASHED, ENCRYPTED = Protection.PUBLIC, Protection.HASHED, Protection.ENCRYPTED

Color = Annotated[str, msgspec.Meta(min_length=1)]
OwnerID = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
Email = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+\Z", max_length=254)]
Address = Annotated[str, msgspec.Meta(min_length=1)]
Pin = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4,12}\Z")]


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a fruit belongs to; a person has the same `owner_id` for all fruits."""

    owner_id: OwnerID
    email: Email
    address: Address
    pin: Pin

    def __repr__(self) -> str:
        return f"Owner({self.owner_id})"


class Fruit(Model, tag="fruit_v1.0", frozen=True, kw_only=True):
    """A fruit and its color; `change_count` says how often the color has been set since it was made.

    It may have an owner. One who has an `owner_id`, but no `email` and no `address`, has been forgotten.
    """

    fruit_id: Annotated[str, Immutable(), UniqueKey("fruit_by_fruit_id"), PUBLIC]
    color: Annotated[Color, LatestBy("updated_on"), PUBLIC]
    created_on: Annotated[Timestamp, Immutable(), PUBLIC]
    updated_on: Annotated[Timestamp, Latest(), PUBLIC]
    change_count: Annotated[int, msgspec.Meta(ge=0), Counter(), PUBLIC]
    owner_id: Annotated[OwnerID | None, Immutable(), PUBLIC, Subject()] = None
    email: Annotated[Email | None, Immutable(), ENCRYPTED] = None
    email_hash: Annotated[str | None, Immutable(), HASHED] = None
    address: Annotated[Address | None, Immutable(), ENCRYPTED] = None
    pin_hash: Annotated[str | None, Immutable(), HASHED] = None

    @classmethod
    def create(cls, color: Color) -> Self:
        """A new fruit, with an id of its own."""
        moment = now()
        return cls(
            fruit_id=uuid.uuid4().hex, color=color, created_on=moment, updated_on=moment, change_count=0
        )

    def given_to(self, owner: Owner, *, email_hash: str, pin_hash: str) -> Self:
        """The fruit with an owner."""
        own = {"owner_id": owner.owner_id, "email": owner.email, "address": owner.address}
        return msgspec.structs.replace(self, **own, email_hash=email_hash, pin_hash=pin_hash)

    @property
    def is_owner_forgotten(self) -> bool:
        """Whether the owner's data key has been deleted."""
        return self.owner_id is not None and self.email is None

    def change_color(self, color: Color) -> Self:
        """The fruit in another color, or once more in the same."""
        return msgspec.structs.replace(
            self, color=color, updated_on=next_after(self.updated_on), change_count=self.change_count + 1
        )

    def representation(self) -> dict[str, Any]:
        """What clients see of it: no hash."""
        names = ["fruit_id", "color", "created_on", "updated_on", "change_count"]
        if self.owner_id is not None:
            names += ["owner_id", "email", "address"]
        return {name: getattr(self, name) for name in names}
