"""The data: what a fruit and its owner are, and how each property is stored."""

import uuid
from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb import Model, Timestamp, UniqueKey, next_after, now
from tor_async_couchdb.model.properties import Protection, Subject

PUBLIC, HASHED, ENCRYPTED = Protection.PUBLIC, Protection.HASHED, Protection.ENCRYPTED

Color = Annotated[str, msgspec.Meta(min_length=1)]
OwnerID = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
Email = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+\Z", max_length=254)]
Address = Annotated[str, msgspec.Meta(min_length=1)]
Pin = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4,12}\Z")]


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The owner of a fruit; a person has the same `owner_id` for all fruits."""

    owner_id: OwnerID
    email: Email
    address: Address
    pin: Pin

    def __repr__(self) -> str:
        return f"Owner({self.owner_id})"


class Fruit(Model, tag="fruit_v1.0"):
    """A fruit and its color; `change_count` says how often the color was set after the fruit was made.

    It may have an owner. An owner with an `owner_id`, but without `email` and `address`, has been erased.
    """

    fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id"), PUBLIC]
    color: Annotated[Color, PUBLIC]
    created_on: Annotated[Timestamp, PUBLIC]
    updated_on: Annotated[Timestamp, PUBLIC]
    change_count: Annotated[int, msgspec.Meta(ge=0), PUBLIC] = 0
    owner_id: Annotated[OwnerID | None, PUBLIC, Subject()] = None
    email: Annotated[Email | None, ENCRYPTED] = None
    email_hash: Annotated[str | None, HASHED] = None
    address: Annotated[Address | None, ENCRYPTED] = None
    pin_hash: Annotated[str | None, HASHED] = None

    @classmethod
    def create(cls, color: Color) -> Self:
        """A new fruit with an id of its own."""
        moment = now()
        return cls(fruit_id=uuid.uuid4().hex, color=color, created_on=moment, updated_on=moment)

    def given_to(self, owner: Owner, *, email_hash: str, pin_hash: str) -> Self:
        """The fruit with an owner."""
        own = {"owner_id": owner.owner_id, "email": owner.email, "address": owner.address}
        return self.replace(**own, email_hash=email_hash, pin_hash=pin_hash)

    @property
    def is_owner_erased(self) -> bool:
        """Whether the owner's data key was deleted."""
        return self.owner_id is not None and self.email is None

    def change_color(self, color: Color) -> Self:
        """The fruit in another color, or again in the same one."""
        change_count = self.change_count + 1
        return self.replace(color=color, updated_on=next_after(self.updated_on), change_count=change_count)

    def representation(self) -> dict[str, Any]:
        """What clients see: the owner only if there is one, and no hashes."""
        names = ["fruit_id", "color", "created_on", "updated_on", "change_count"]
        if self.owner_id is not None:
            names += ["owner_id", "email", "address"]
        return {name: getattr(self, name) for name in names}
