"""Two masters: which documents differ, and the revision tree of one of them on either side."""

from typing import Any

Document = dict[str, Any]

# Of a long history only the forks are shown, and so much around them.
_BEFORE_LEAF = 3
_MAX_DELETED = 2
_MAX_DEPTH = 8


def _generation(rev: str) -> int:
    return int(rev.partition("-")[0])


def winner_of(leaves: list[Document]) -> str | None:
    """The revision that CouchDB shows: not deleted, the longest path, the highest hash; in this order.

    https://docs.couchdb.org/en/stable/replication/conflicts.html
    """
    if not leaves:
        return None
    return max((not leaf.get("_deleted"), _generation(leaf["_rev"]), str(leaf["_rev"])) for leaf in leaves)[2]


def trees(leaves_by_master: dict[str, list[Document]]) -> dict[str, list[dict[str, Any]]]:
    """A document's revision tree on each master, from its leaves with their `_revisions`.

    Each node has its `rev`, `depth` and `role`: "winner", "conflict" or "deleted" for a leaf, "" else. Long
    ways without a fork are cut short: `parent` is the nearest ancestor that is shown, `skipped` revisions lie
    between. A depth is the same on all masters. A leaf has the `color` that it was changed to.
    """
    kept = {name: _shown_leaves(leaves) for name, leaves in leaves_by_master.items()}
    parents: dict[str, str | None] = {}
    for leaves in kept.values():
        for leaf in leaves:
            path = _path(leaf)
            for rev, parent in zip(path, [*path[1:], None], strict=True):
                parents[rev] = parents.get(rev) or parent
    shown = _shown_revs(parents, {leaf["_rev"] for leaves in kept.values() for leaf in leaves})
    links = _links(parents, shown)
    return {name: _nodes(leaves, links) for name, leaves in kept.items()}


def _shown_leaves(leaves: list[Document]) -> list[Document]:
    """All live leaves, and the newest deleted ones: each merge leaves one behind."""
    deleted = sorted((leaf for leaf in leaves if leaf.get("_deleted")), key=lambda leaf: _order(leaf["_rev"]))
    return [leaf for leaf in leaves if not leaf.get("_deleted")] + deleted[-_MAX_DELETED:]


def _order(rev: str) -> tuple[int, str]:
    return _generation(rev), rev


def _path(leaf: Document) -> list[str]:
    """A leaf's revisions, the newest first."""
    start = leaf["_revisions"]["start"]
    return [f"{start - i}-{name}" for i, name in enumerate(leaf["_revisions"]["ids"])]


def _shown_revs(parents: dict[str, str | None], leaves: set[str]) -> set[str]:
    """The leaves, what is right before them, and the forks with the first revision of each branch."""
    children: dict[str | None, list[str]] = {}
    for rev, parent in parents.items():
        children.setdefault(parent, []).append(rev)
    shown = set(leaves)
    for parent, branches in children.items():
        if parent is not None and len(branches) > 1:
            shown |= {parent, *branches}
    for leaf in leaves:
        ancestor = parents[leaf]
        for _ in range(_BEFORE_LEAF):
            if ancestor is not None:
                shown.add(ancestor)
                ancestor = parents[ancestor]
    return shown


def _links(parents: dict[str, str | None], shown: set[str]) -> dict[str, tuple[str | None, int, int]]:
    """The nearest ancestor that is shown, the revisions between, and the depth of each that is shown."""
    links: dict[str, tuple[str | None, int, int]] = {}
    for rev in sorted(shown, key=_generation):
        ancestor, skipped = parents[rev], 0
        while ancestor is not None and ancestor not in links:
            ancestor, skipped = parents[ancestor], skipped + 1
        links[rev] = (ancestor, skipped, 0 if ancestor is None else links[ancestor][2] + 1)
    first = max((depth for _, _, depth in links.values()), default=0) - _MAX_DEPTH
    return {
        rev: (parent, skipped, depth - first)
        for rev, (parent, skipped, depth) in links.items()
        if depth > first
    }


def _nodes(leaves: list[Document], links: dict[str, tuple[str | None, int, int]]) -> list[dict[str, Any]]:
    by_rev, winner = {leaf["_rev"]: leaf for leaf in leaves}, winner_of(leaves)
    known = {rev for leaf in leaves for rev in _path(leaf)}
    return [
        {
            "rev": rev,
            "parent": parent if parent in links else None,
            "skipped": skipped,
            "depth": depth,
            "role": _role(by_rev.get(rev), winner),
            "color": by_rev.get(rev, {}).get("color"),
        }
        for rev, (parent, skipped, depth) in links.items()
        if rev in known
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
