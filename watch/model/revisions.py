"""Two masters: which documents differ, and the revision tree of one of them on either side."""

from typing import Any

Document = dict[str, Any]

_MAX_GENERATIONS = 9


def _generation(rev: str) -> int:
    return int(rev.partition("-")[0])


def winner_of(leaves: list[Document]) -> str | None:
    """The revision that CouchDB shows: not deleted, the longest path, the highest hash; in this order.

    https://docs.couchdb.org/en/stable/replication/conflicts.html
    """
    if not leaves:
        return None
    return max((not leaf.get("_deleted"), _generation(leaf["_rev"]), str(leaf["_rev"])) for leaf in leaves)[2]


def tree(leaves: list[Document]) -> list[dict[str, Any]]:
    """The newest generations of a document's tree, from its leaves with their `_revisions`.

    Each node has its `rev`, `parent`, and a `role`: "winner", "conflict" or "deleted" for a leaf, "" else. A
    leaf has what it was changed to: `color`.
    """
    parents: dict[str, str | None] = {}
    for leaf in leaves:
        start, ids = leaf["_revisions"]["start"], leaf["_revisions"]["ids"]
        path = [f"{start - i}-{name}" for i, name in enumerate(ids)]
        for rev, parent in zip(path, [*path[1:], None], strict=True):
            parents[rev] = parents.get(rev) or parent
    newest = max(map(_generation, parents), default=0)
    by_rev, winner = {leaf["_rev"]: leaf for leaf in leaves}, winner_of(leaves)
    return [
        {
            "rev": rev,
            "parent": parent,
            "role": _role(by_rev.get(rev), winner),
            "color": by_rev.get(rev, {}).get("color"),
        }
        for rev, parent in sorted(parents.items())
        if _generation(rev) > newest - _MAX_GENERATIONS
    ]


def _role(leaf: Document | None, winner: str | None) -> str:
    if leaf is None:
        return ""
    if leaf.get("_deleted"):
        return "deleted"
    return "winner" if leaf["_rev"] == winner else "conflict"


class Comparison:
    """The leaves of all documents on two masters, as their change feeds report them."""

    def __init__(self, names: tuple[str, str]) -> None:
        self.names = names
        self.differing: set[str] = set()
        self._leaves: dict[str, dict[str, frozenset[str]]] = {name: {} for name in names}
        self._link = "up"
        self._healed_at_s: float | None = None
        self._equal_again_after_s: float | None = None
        self.most_different = 0

    def changed(self, name: str, document_id: str, leaves: frozenset[str], at_s: float) -> None:
        """A document has these leaves on a master now."""
        self._leaves[name][document_id] = leaves
        one, other = (self._leaves[each].get(document_id) for each in self.names)
        if one == other:
            self.differing.discard(document_id)
        else:
            self.differing.add(document_id)
            self.most_different = max(self.most_different, len(self.differing))
        if not self.differing and self._healed_at_s is not None:
            self._equal_again_after_s = at_s - self._healed_at_s
            self._healed_at_s = None

    def linked(self, link: str, at_s: float) -> None:
        """The link between the masters is "up", "cut" or "slow" now."""
        if link == "up" and self._link != "up":
            self._healed_at_s = at_s if self.differing else None
        elif link != "up" and self._link == "up":
            self._healed_at_s, self._equal_again_after_s, self.most_different = None, None, 0
        self._link = link

    def as_json(self) -> dict[str, Any]:
        """What the page shows."""
        return {
            "link": self._link,
            "documents": {name: len(self._leaves[name]) for name in self.names},
            "differing": len(self.differing),
            "most_different": self.most_different,
            "equal_again_after_s": self._equal_again_after_s,
        }
