"""The views of design_docs/ as Python functions, for a CouchDB with couch_named_python as a query server.

The documents of design_docs_python/ name these functions with their versions.
"""

import re
from collections.abc import Iterator
from typing import Any

from couch_named_python import version

_FRUIT = re.compile(r"fruit_v\d+\.\d+", re.IGNORECASE | re.ASCII)
_FRUIT_HISTORY = re.compile(r"fruit_history_v\d+\.\d+", re.IGNORECASE | re.ASCII)

Row = tuple[Any, None]


@version(1)
def fruit_by_fruit_id(doc: dict[str, Any]) -> Iterator[Row]:
    """Fruits by their id."""
    if _is_fruit(doc):
        yield doc.get("fruit_id"), None


@version(1)
def fruit_by_color(doc: dict[str, Any]) -> Iterator[Row]:
    """Fruits by their color."""
    if _is_fruit(doc):
        yield doc.get("color"), None


@version(1)
def fruit_by_email_hash(doc: dict[str, Any]) -> Iterator[Row]:
    """Fruits by the hash of their owner's e-mail address; fruits without an owner are left out."""
    if _is_fruit(doc) and isinstance(doc.get("email_hash"), str):
        yield doc["email_hash"], None


@version(1)
def fruit_history_by_fruit_id(doc: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Changes of fruits, and snapshots of them, by the fruit's id and their time; the value is all of it."""
    if _has_type(doc, _FRUIT_HISTORY) and isinstance(doc.get("fruit_id"), str):
        yield [doc["fruit_id"], doc.get("updated_on")], doc


@version(1)
def conflicts(doc: dict[str, Any]) -> Iterator[Row]:
    """Documents with conflicting revisions, by the revisions that lost."""
    if doc.get("_conflicts"):
        yield doc["_conflicts"], None


def _is_fruit(doc: dict[str, Any]) -> bool:
    return _has_type(doc, _FRUIT)


def _has_type(doc: dict[str, Any], pattern: re.Pattern[str]) -> bool:
    document_type = doc.get("type")
    return isinstance(document_type, str) and pattern.fullmatch(document_type) is not None
