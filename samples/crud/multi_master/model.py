"""The data: what a fruit is, what can be done to it, and how changes on several masters become one."""

import uuid
from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb import (
    Counter,
    Immutable,
    Latest,
    LatestBy,
    Model,
    Superseded,
    Timestamp,
    next_after,
    now,
)

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Fruit(Model, tag="fruit_v2.0"):
    """A fruit and its color; `change_count` says how often the color was set after the fruit was made.

    `superseded` has the colors that were set on another master at the same time and lost to a later one,
    until the color is set again.
    """

    fruit_id: Annotated[str, Immutable()]
    color: Annotated[Color, LatestBy("updated_on")]
    superseded: Annotated[dict[Color, Timestamp], Superseded("color")]
    created_on: Annotated[Timestamp, Immutable()]
    updated_on: Annotated[Timestamp, Latest()]
    change_counts: Annotated[dict[str, int], Counter()]

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
            change_counts={},
        )

    @property
    def change_count(self) -> int:
        """The changes on all masters."""
        return sum(self.change_counts.values())

    def change_color(self, color: Color, master: str) -> Self:
        """The fruit in another color, or again in the same one, set on a master."""
        return self.replace(
            color=color,
            superseded={},
            updated_on=next_after(self.updated_on),
            change_counts=self.change_counts | {master: self.change_counts.get(master, 0) + 1},
        )

    def representation(self) -> dict[str, Any]:
        """What clients see: one count, and superseded colors only if there are any."""
        names = ("fruit_id", "color", "created_on", "updated_on", "change_count")
        superseded = {"superseded": self.superseded} if self.superseded else {}
        return {name: getattr(self, name) for name in names} | superseded
