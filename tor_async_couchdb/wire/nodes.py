"""The nodes of a cluster: which of them a document's requests go to, and which have failed lately.

Requests for one document go to one node, so that its writes meet there and not on the copies. That node is
chosen by rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
IEEE/ACM Transactions on Networking 6, 1998): each node has a score for each document, and the highest wins.
All processes that know the same URLs choose the same node, and without a node only its documents move.
"""

import hashlib
import itertools
import time
from collections.abc import Sequence

import yarl

# How long requests avoid a node that has failed. Then one request tries it again.
AVOIDED_FOR_S = 5.0

_UNPRINTABLE = "a database's URL must consist of printable characters, in UTF-8"


def rendezvous_order(nodes: Sequence[str], document_id: str) -> list[str]:
    """The nodes in the order in which they are responsible for a document."""
    # A document's id may hold a lone surrogate, which CouchDB then refuses.
    key = document_id.encode("utf-8", "surrogatepass")
    return sorted(nodes, key=lambda node: _score(node, key), reverse=True)


def _score(node: str, key: bytes) -> bytes:
    return hashlib.blake2b(node.encode() + b"\0" + key, digest_size=8).digest()


def database_urls(text: str) -> list[yarl.URL]:
    """The URLs of one database through each of the nodes, as they stand in `text`, separated by commas.

    They may hold credentials, all of them the same.

    Raises:
        ValueError: a URL is not that of a database, or they do not go together. The message shows none.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and not all(parts):
        raise ValueError("in the list of a database's URLs one is empty: commas stand only between URLs")
    try:
        urls = [_database_url(part) for part in parts]
    except ValueError as error:
        hint = "; a comma separates two URLs, so in a password it is written as %2C"
        raise ValueError(f"{error}{hint if len(parts) > 1 else ''}") from None  # it may show a password
    if len({url.name for url in urls}) > 1:
        raise ValueError("all URLs of a database must end with the same name")
    if len({_without_credentials(url) for url in urls}) < len(urls):
        raise ValueError("a URL of the database is given twice")
    if len({(url.user, url.password) for url in urls}) > 1:
        raise ValueError("the URLs of a database must all have the same credentials, or all have none")
    return urls


def _database_url(text: str) -> yarl.URL:
    if not text.isprintable():  # yarl leaves out what it can't encode, so that another database is meant
        raise ValueError(_UNPRINTABLE)
    url = yarl.URL(text)
    if not url.path.isprintable():
        raise ValueError(_UNPRINTABLE)
    if url.scheme not in ("http", "https") or not url.host or not url.path.strip("/"):
        raise ValueError("a database's URL is http[s]://host:port/database")
    if url.query_string or url.fragment:
        raise ValueError("a database's URL has no query and no fragment")
    # CouchDB takes a plus sign in a path for a space.
    path = url.raw_path.rstrip("/").replace("+", "%2B")
    return url.with_path(path, encoded=True)


def _without_credentials(url: yarl.URL) -> yarl.URL:
    return url.with_user(None)


class Nodes:
    """The nodes of a cluster, each by the URL of one database there, and which of them have failed lately."""

    def __init__(self, urls: Sequence[yarl.URL]) -> None:
        self.urls = [_without_credentials(url) for url in urls]
        self._by_text = {str(url): url for url in self.urls}
        self._turns = itertools.cycle(self.urls)
        self._avoided_until_s: dict[yarl.URL, float] = {}

    def of_document(self, document_id: str) -> yarl.URL:
        """The node that a document's requests go to: the first in its order that has not failed lately."""
        if len(self.urls) == 1:
            return self.urls[0]
        return self._sound_first(self._order(document_id))[0]

    def any(self) -> yarl.URL:
        """A node that has not failed lately, if there is one; each in turn."""
        node = next(self._turns)
        for _ in self.urls:
            if not self._is_avoided(node):
                break
            node = next(self._turns)
        return node

    def to_try(self, node: yarl.URL) -> list[yarl.URL]:
        """The nodes for one request that goes to `node`: the one to ask first, and then the others.

        After a node was avoided for a while it is the first of one request only, until that is answered.
        """
        others = [other for other in self._order(str(node)) if other != node]
        nodes = self._sound_first([node, *others])
        if nodes[0] in self._avoided_until_s:
            self.avoid(nodes[0])
        return nodes

    def avoid(self, node: yarl.URL) -> None:
        """Makes other nodes the first ones for some seconds, because this one has failed."""
        self._avoided_until_s[node] = time.monotonic() + AVOIDED_FOR_S

    def trust(self, node: yarl.URL) -> None:
        """Forgets that a node has failed, because it has answered."""
        self._avoided_until_s.pop(node, None)

    def _order(self, key: str) -> list[yarl.URL]:
        return [self._by_text[text] for text in rendezvous_order([*self._by_text], key)]

    def _sound_first(self, nodes: list[yarl.URL]) -> list[yarl.URL]:
        return sorted(nodes, key=self._is_avoided) if self._avoided_until_s else nodes

    def _is_avoided(self, node: yarl.URL) -> bool:
        return time.monotonic() < self._avoided_until_s.get(node, 0.0)
