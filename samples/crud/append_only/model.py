"""The data: what a fruit is, and what can be done to it."""

from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb import AppendedModel, Entry, Timestamp

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Fruit(AppendedModel, tag="fruit_history_v1.0"):
    """A change of a fruit, or all that several changes have made of it.

    The first entry has made the fruit, and each other one has changed its color, but the last one of a fruit
    that was deleted.
    """

    fruit_id: str
    color: Color | None = None
    created_on: Timestamp | None = None
    is_deleted: bool = False

    @classmethod
    def create(cls, fruit_id: str, color: Color, entry: Entry) -> Self:
        """The entry that makes a fruit."""
        properties = cls.properties_of(entry)
        return cls(fruit_id=fruit_id, color=color, created_on=entry.moment, **properties)

    @classmethod
    def change_color(cls, fruit_id: str, color: Color, entry: Entry) -> Self:
        """The entry that sets the color of a fruit, perhaps to the same one."""
        return cls(fruit_id=fruit_id, color=color, **cls.properties_of(entry))

    @classmethod
    def delete(cls, fruit_id: str, entry: Entry) -> Self:
        """The entry that deletes a fruit."""
        return cls(fruit_id=fruit_id, is_deleted=True, **cls.properties_of(entry))

    @property
    def is_there(self) -> bool:
        return self.created_on is not None and not self.is_deleted

    def joined(self, other: Self) -> Self:
        """What two parts are together: the latest color, and the union of the entries."""
        together = super().joined(other)
        is_deleted = self.is_deleted or other.is_deleted
        return together.replace(
            color=None if is_deleted else together.color,
            created_on=self.created_on or other.created_on,
            is_deleted=is_deleted,
        )

    def representation(self) -> dict[str, Any]:
        return {
            "fruit_id": self.fruit_id,
            "color": self.color,
            "created_on": self.created_on,
            "updated_on": self.updated_on,
            "change_count": self.entry_count - 1,
        }
