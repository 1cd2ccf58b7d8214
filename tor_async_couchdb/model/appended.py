"""Append-only models: each change is a document of its own, and the model is what they are together."""

from typing import Any, NamedTuple, Self

from tor_async_couchdb.model.entry_sets import EntrySet, size, union
from tor_async_couchdb.model.model import Model
from tor_async_couchdb.model.timestamps import Timestamp, now


class Entry(NamedTuple):
    """A change that is about to be appended: its name, the set of it alone, and its time."""

    name: str
    entries: EntrySet
    moment: Timestamp


class AppendedModel(Model, tag="appended_v1.0"):
    """A part of a model: an entry, which stands for one change, or a snapshot of several.

    `updated_on` and `entry` are time and name of the latest of its `entries`; of two of the same time the one
    with the greater name is the later. `folded_on` is when a snapshot was made.
    """

    updated_on: Timestamp
    entry: str
    entries: dict[str, list[tuple[int, int]]]
    folded_on: Timestamp | None = None

    @property
    def place(self) -> tuple[Timestamp, str]:
        """The place of the latest entry in the order of all entries."""
        return self.updated_on, self.entry

    @property
    def entry_count(self) -> int:
        """How many entries it stands for."""
        return size(self.entries)

    @property
    def is_there(self) -> bool:
        """Whether the model exists, if this is all of it. Override it where models can be deleted."""
        return True

    def joined(self, other: Self) -> Self:
        """What two parts are together: the properties are those of the later one, and each entry counts once.

        A class that overrides it must see to it that neither the order in which parts are joined matters, nor
        how often one is.
        """
        latest = max(self, other, key=lambda part: part.place)
        return latest.replace(entries=union(self.entries, other.entries))

    def as_snapshot(self) -> Self:
        """The document that stands for all entries of this one."""
        return self.replace(id=None, rev=None, attachments=None, write_nonces=None, folded_on=now())

    @staticmethod
    def properties_of(entry: Entry) -> dict[str, Any]:
        """The properties of this class for a part that is one entry."""
        return {"updated_on": entry.moment, "entry": entry.name, "entries": entry.entries}
