"""How many changes of each master a document has.

In one database these counts never go down, unless the document is deleted or put back: a change adds to them,
and a merge takes the highest count of each master.
"""

from collections.abc import Iterable, Mapping

from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import Counter

ChangeCounts = dict[str, int]


def counts_of(model_class: type[Model], document: Document) -> ChangeCounts:
    """The sums of the document's `Counter` properties, by master."""
    counts: ChangeCounts = {}
    for declared in model_class.properties.values():
        if isinstance(declared.merge, Counter):
            # A revision that another version wrote may not have the property.
            for master, count in document.get(declared.name, {}).items():
                counts[master] = counts.get(master, 0) + count
    return counts


def highest_of(several: Iterable[Mapping[str, int]]) -> ChangeCounts:
    """The highest count of each master."""
    highest: ChangeCounts = {}
    for counts in several:
        for master, count in counts.items():
            highest[master] = max(count, highest.get(master, count))
    return highest
