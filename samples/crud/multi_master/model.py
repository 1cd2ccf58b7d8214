"""The data: what a fruit is, what can be done to it, and how changes on several masters become one."""

import uuid
from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb import (
    ChangeSet,
    CountedOnce,
    Immutable,
    Latest,
    LatestBy,
    Model,
    Superseded,
    Timestamp,
    count_changes,
    next_after,
    now,
    with_change,
)

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Fruit(Model, tag="fruit_v3.0"):
    """A fruit and its color; `change_count` says how often the color was set after the fruit was made.

    `superseded` has the colors that were set on another master at the same time and lost to a later one,
    until the color is set again.
    """

    fruit_id: Annotated[str, Immutable()]
    color: Annotated[Color, LatestBy("updated_on")]
    superseded: Annotated[dict[Color, Timestamp], Superseded("color")]
    created_on: Annotated[Timestamp, Immutable()]
    updated_on: Annotated[Timestamp, Latest()]
    changes: Annotated[ChangeSet, CountedOnce()]

    @classmethod
    def create(cls, color: Color) -> Self:
        """A new fruit with an id of its own."""
        moment = now()
        return cls(
            fruit_id=uuid.uuid4().hex,
            color=color,
            superseded={},
            created_on=moment,
            updated_on=moment,
            changes={},
        )

    @property
    def change_count(self) -> int:
        """The changes on all masters."""
        return count_changes(self.changes)

    def change_color(self, color: Color, change: ChangeSet) -> Self:
        """The fruit in another color, or again in the same one; `change` is the name of this change."""
        return self.replace(
            color=color,
            superseded={},
            updated_on=next_after(self.updated_on),
            changes=with_change(self.changes, change),
        )

    def representation(self) -> dict[str, Any]:
        """What clients see: one count, and superseded colors only if there are any."""
        names = ("fruit_id", "color", "created_on", "updated_on", "change_count")
        superseded = {"superseded": self.superseded} if self.superseded else {}
        return {name: getattr(self, name) for name in names} | superseded
