"""The data: what a fruit is, and what can be done to it."""

import uuid
from typing import Annotated, Self

import msgspec

from tor_async_couchdb import Model, Timestamp, UniqueKey, next_after, now

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Fruit(Model, tag="fruit_v1.0"):
    """A fruit and its color; `change_count` says how often the color was set after the fruit was made."""

    fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
    color: Color
    created_on: Timestamp
    updated_on: Timestamp
    change_count: Annotated[int, msgspec.Meta(ge=0)] = 0

    @classmethod
    def create(cls, color: Color, fruit_id: str | None = None) -> Self:
        """A new fruit. Its document has the fruit's id: only one of several creators can have it."""
        moment, fruit_id = now(), fruit_id or uuid.uuid4().hex
        return cls(id=fruit_id, fruit_id=fruit_id, color=color, created_on=moment, updated_on=moment)

    def change_color(self, color: Color) -> Self:
        """The fruit in another color, or again in the same one."""
        change_count = self.change_count + 1
        return self.replace(color=color, updated_on=next_after(self.updated_on), change_count=change_count)
