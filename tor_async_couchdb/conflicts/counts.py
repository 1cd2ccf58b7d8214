"""How many changes of each master, or of each process, a document has.

In one database these counts never go down, unless the document is deleted or put back: a change adds to them,
and a merge takes the highest count of each master, or the union of the changes. The changes of processes that
are long gone become one count, under the name of a day; see change_sets.py.
"""

from collections.abc import Iterable, Mapping

from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.change_sets import without_folded
from tor_async_couchdb.model.entry_sets import size
from tor_async_couchdb.model.properties import CountedOnce, Counter

ChangeCounts = dict[str, int]


def counts_of(model_class: type[Model], document: Document) -> ChangeCounts:
    """The changes that the document's `Counter` and `CountedOnce` properties count, by who made them."""
    counts: ChangeCounts = {}
    for declared in model_class.properties.values():
        # A revision that another version wrote may not have the property.
        stored = document.get(declared.name, {})
        match declared.merge:
            case Counter():
                found = dict(stored)
            case CountedOnce():
                found = {writer: size({writer: ranges}) for writer, ranges in stored.items()}
            case _:
                found = {}
        for name, count in found.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def highest_of(several: Iterable[Mapping[str, int]]) -> ChangeCounts:
    """The highest count of each name, without those that the count of a later day contains."""
    highest: ChangeCounts = {}
    for counts in several:
        for name, count in counts.items():
            highest[name] = max(count, highest.get(name, count))
    return without_folded(highest)


def missing_from(there: Mapping[str, int], wanted: Mapping[str, int]) -> ChangeCounts:
    """The wanted counts that are higher than those which are there."""
    together = highest_of([there, wanted])
    return {name: count for name, count in together.items() if count > there.get(name, -1)}
