"""How far a document has come: of each master the changes that are in it.

What is read in one database never has fewer of them later, unless it was deleted or put back: who changes a
document adds to its counts, and a merge takes the highest of each.
"""

from collections.abc import Iterable, Mapping

from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.model.properties import Counter

ChangeCounts = dict[str, int]


def counts_of(model_class: type[Model], document: Document) -> ChangeCounts:
    """The sum of the document's `Counter` properties, which have to be maps, by master."""
    counts: ChangeCounts = {}
    for declared in model_class.properties.values():
        if isinstance(declared.merge, Counter):
            for master, count in document[declared.name].items():
                counts[master] = counts.get(master, 0) + count
    return counts


def highest_of(several: Iterable[Mapping[str, int]]) -> ChangeCounts:
    """What all of them have together."""
    highest: ChangeCounts = {}
    for counts in several:
        for master, count in counts.items():
            highest[master] = max(count, highest.get(master, count))
    return highest
