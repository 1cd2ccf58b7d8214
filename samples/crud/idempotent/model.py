"""The data: what a fruit is, and what can be done to it."""

from typing import Annotated, Any, Self

import msgspec

from tor_async_couchdb import (
    KeyUse,
    Model,
    Timestamp,
    UniqueKey,
    UsedKey,
    earlier_use,
    next_after,
    now,
    with_key,
)

Color = Annotated[str, msgspec.Meta(min_length=1)]

# A client may repeat a change for so long, and a fruit may be changed so often within that time.
WINDOW_S = 300.0
MAX_KEYS = 1000


class Fruit(Model, tag="fruit_v1.0"):
    """A fruit, and the keys under which clients have made and changed it. Its tombstone keeps all of that."""

    fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
    color: Color
    created_on: Timestamp
    updated_on: Timestamp
    change_count: Annotated[int, msgspec.Meta(ge=0)] = 0
    creation: UsedKey | None = None
    changes: tuple[UsedKey, ...] = ()
    is_deleted: bool = False

    def representation(self) -> dict[str, Any]:
        shown = super().representation()
        return {name: shown[name] for name in shown if name not in ("creation", "changes", "is_deleted")}

    @classmethod
    def create(cls, color: Color, use: KeyUse) -> Self:
        """A new fruit, which has its id from the key, and so has its document."""
        moment = now()
        fruit = cls(id=use.key, fruit_id=use.key, color=color, created_on=moment, updated_on=moment)
        return fruit.replace(creation=UsedKey(*use, moment))

    def as_created(self, color: Color, use: KeyUse) -> Self:
        """The fruit as it was when it was made under this key; KeyReusedError if in another color."""
        earlier_use([self.creation] if self.creation else [], use)
        return self.replace(color=color, updated_on=self.created_on, change_count=0)

    def is_done_with(self, use: KeyUse) -> bool:
        """Whether the change under this key was made, or can't be any more; KeyReusedError as in `after`."""
        return self.is_deleted or earlier_use(self.changes, use) is not None

    def after(self, use: KeyUse, color: Color | None = None) -> Self | None:
        """The fruit after the change to this color under this key; None if that was not made.

        KeyReusedError if the key stands for another change.
        """
        used, color = earlier_use(self.changes, use), self.color if color is None else color
        if used is None:
            return None
        return self.replace(color=color, updated_on=used.used_on, change_count=used.change_count)

    def change_color(self, color: Color, use: KeyUse) -> Self:
        """The fruit in another color, or again in the same one; KeysFullError if it changes too often."""
        return self._changed(use, color=color, change_count=self.change_count + 1)

    def delete(self, use: KeyUse) -> Self:
        """The fruit as its tombstone keeps it; KeysFullError if it has changed too often."""
        return self._changed(use, is_deleted=True, change_count=self.change_count)

    def _changed(self, use: KeyUse, *, change_count: int, **changes: Any) -> Self:
        moment = next_after(self.updated_on)
        used = UsedKey(*use, moment, change_count)
        keys = with_key(self.changes, used, window_s=WINDOW_S, max_keys=MAX_KEYS)
        return self.replace(updated_on=moment, change_count=change_count, changes=keys, **changes)
