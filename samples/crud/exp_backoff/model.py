"""The data: what a fruit is, and what can be done to it."""

import uuid
from typing import Annotated, Self

import msgspec

from tor_async_couchdb.model.model import Model
from tor_async_couchdb.model.properties import Counter, Immutable, Latest, LatestBy, UniqueKey
from tor_async_couchdb.model.timestamps import Timestamp, next_after, now

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Fruit(Model, tag="fruit_v1.0", frozen=True, kw_only=True):
    """A fruit and its color; `change_count` says how often the color has been set since it was made."""

    fruit_id: Annotated[str, Immutable(), UniqueKey("fruit_by_fruit_id")]
    color: Annotated[Color, LatestBy("updated_on")]
    created_on: Annotated[Timestamp, Immutable()]
    updated_on: Annotated[Timestamp, Latest()]
    change_count: Annotated[int, msgspec.Meta(ge=0), Counter()]

    @classmethod
    def create(cls, color: Color) -> Self:
        """A new fruit, with an id of its own."""
        moment = now()
        return cls(
            fruit_id=uuid.uuid4().hex, color=color, created_on=moment, updated_on=moment, change_count=0
        )

    def change_color(self, color: Color) -> Self:
        """The fruit in another color, or once more in the same."""
        return msgspec.structs.replace(
            self, color=color, updated_on=next_after(self.updated_on), change_count=self.change_count + 1
        )
