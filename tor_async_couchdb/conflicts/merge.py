"""Merging the conflicting revisions of a document, property by property, as its model declares.

The result depends on nothing but the set of the leaf revisions' bodies: on no clock, host or random number,
nor on the order or the groups in which revisions are merged (the merge is commutative, associative and
idempotent). So each master computes the same result on its own. M. Shapiro et al., "A comprehensive study of
Convergent and Commutative Replicated Data Types", INRIA, 2011.
"""

import dataclasses
import functools
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tor_async_couchdb.errors import UnmergeableError
from tor_async_couchdb.guard import Open
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.canonical import canonical, canonical_bytes
from tor_async_couchdb.model.change_sets import ChangeSet, merged_changes
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.model.properties import (
    AddsWin,
    CountedOnce,
    Counter,
    Immutable,
    Latest,
    LatestBy,
    MergedBy,
    Property,
    Protection,
    Superseded,
)

# These strategies make new values, and no two masters could encrypt or hash a new value alike.
_MAKING_NEW_VALUES = (Superseded, Counter, CountedOnce, AddsWin, MergedBy)


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One leaf revision: its stored document, and the values that the model reads from it."""

    document: Document
    values: Mapping[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, model_class: type[Model], document: Document, open_document: Open = dict) -> typing.Self:
        """The leaf; InvalidDocumentError if the document does not fit the model."""
        return cls(document, msgspec.to_builtins(model_class.from_doc(open_document(document))))

    @functools.cached_property
    def canonical_values(self) -> dict[str, bytes]:
        """What two leaves are compared by: their values, however they are encrypted or signed."""
        return {
            name: canonical_bytes(value)
            for name, value in self.values.items()
            if name[0] != "_" and name != NONCES_PROPERTY_NAME
        }


def check_mergeable(model_class: type[Model]) -> None:
    """Checks that the model declares how each of its properties merges.

    Raises:
        TypeError: a property declares no strategy, or one that does not fit it.
    """
    hints = typing.get_type_hints(model_class)
    for declared in model_class.properties.values():
        if reason := _why_unmergeable(declared, hints, model_class.properties):
            raise TypeError(f"{model_class.__name__}.{declared.name} {reason}")


def _why_unmergeable(
    declared: Property, hints: Mapping[str, Any], properties: Mapping[str, Property]
) -> str | None:
    if declared.protection is not Protection.PUBLIC and isinstance(declared.merge, _MAKING_NEW_VALUES):
        return f"is {declared.protection.value}, so its strategy must take one of the values as it is"
    match declared.merge:
        case None:
            return "declares no merge strategy"
        case LatestBy(timestamp) if not isinstance(properties[timestamp].merge, Latest):
            return f"merges by {timestamp!r}, which has to merge by Latest"
        case Superseded(of) if not isinstance(properties[of].merge, LatestBy):
            return f"keeps what {of!r} lost, which has to merge by LatestBy"
        case Superseded(of) if properties[of].protection is not Protection.PUBLIC:
            return f"would show what {of!r} protects"
        case Superseded(of) if hints[of] is not str:
            return f"keeps what {of!r} lost, which has to be a str"
        case Counter() | Superseded() if typing.get_origin(hints[declared.name]) is not dict:
            return "has to be a dict"
        case CountedOnce() if hints[declared.name] != ChangeSet:
            return "has to be a ChangeSet"
        case AddsWin() if typing.get_origin(hints[declared.name]) is not list:
            return "has to be a list"
        case _:
            return None


def merge(model_class: type[Model], leaves: Sequence[Leaf]) -> Leaf:
    """The merged document of the leaves, without `_id`, `_rev` and signature.

    Raises:
        UnmergeableError: an immutable property differs, a `MergedBy` function refuses the values, or a
            revision of another version has ciphertexts, which are bound to its type.
    """
    _check_ciphertexts_fit(model_class, leaves)
    values: dict[str, Any] = {"type": leaves[0].values["type"]}
    document = dict(values)
    for declared in model_class.properties.values():
        value = canonical(_merged_value(declared, leaves, model_class.properties))
        values[declared.name] = value
        document[declared.name] = _stored(declared.name, value, leaves)
    return Leaf(canonical(document), values)


def _check_ciphertexts_fit(model_class: type[Model], leaves: Sequence[Leaf]) -> None:
    types = {str(leaf.document.get("type")) for leaf in leaves} - {model_class.type_name()}
    if types and model_class.decrypted_names:
        reason = f"has a revision of type {min(types)} with encrypted properties: migrate it, then it merges"
        raise UnmergeableError(reason, document_id=leaves[0].document.get("_id"))


def _merged_value(declared: Property, leaves: Sequence[Leaf], properties: Mapping[str, Property]) -> Any:
    name = declared.name
    values = [leaf.values[name] for leaf in leaves]
    match declared.merge:
        case Immutable():
            return _the_same(name, leaves)
        case Latest():
            return max(values, key=_rank)
        case LatestBy(timestamp):
            return _most_recent(leaves, timestamp, properties).values[name]
        case Superseded(of):
            timestamp = _timestamp_of(properties[of])
            latest = _most_recent(leaves, timestamp, properties)
            return _superseded(name, of, timestamp, latest, leaves)
        case Counter():
            return _highest_of_each(values)
        case CountedOnce():
            return merged_changes(values)
        case AddsWin():
            return _distinct(item for value in values for item in value)
        case MergedBy(function):
            return _merged_by(function, name, leaves)
    raise _unmergeable(name, leaves, "its model declares no merge strategy for it")


def _the_same(name: str, leaves: Sequence[Leaf]) -> Any:
    if len({leaf.canonical_values[name] for leaf in leaves}) > 1:
        raise _unmergeable(name, leaves, "is immutable, but conflicting revisions differ in it")
    return leaves[0].values[name]


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


def _most_recent(leaves: Sequence[Leaf], timestamp: str, properties: Mapping[str, Property]) -> Leaf:
    # Of two leaves of the same moment all masters must take the same one; which one does not matter. All
    # properties with this timestamp are of the same leaf, since they may make sense only together.
    names = sorted(name for name, one in properties.items() if one.merge == LatestBy(timestamp))

    def recency(leaf: Leaf) -> tuple[Any, list[bytes]]:
        return _rank(leaf.values[timestamp]), [leaf.canonical_values[name] for name in names]

    return max(leaves, key=recency)


def _timestamp_of(declared: Property) -> str:
    if not isinstance(declared.merge, LatestBy):
        raise TypeError(f"{declared.name} has to merge by LatestBy")
    return declared.merge.timestamp


def _superseded(name: str, of: str, timestamp: str, latest: Leaf, leaves: Sequence[Leaf]) -> dict[str, Any]:
    set_on = _highest_of_each(
        [leaf.values[name] for leaf in leaves]
        + [{leaf.values[of]: leaf.values[timestamp]} for leaf in leaves]
    )
    return {value: moment for value, moment in set_on.items() if value != latest.values[of]}


def _highest_of_each(maps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    highest: dict[str, Any] = {}
    for one in maps:
        for key, value in one.items():
            highest[key] = max(value, highest.get(key, value))
    return highest


def _distinct(values: Iterable[Any]) -> list[Any]:
    by_bytes = {canonical_bytes(value): canonical(value) for value in values}
    return [by_bytes[key] for key in sorted(by_bytes)]


def _merged_by(function: typing.Callable[[Sequence[Any]], Any], name: str, leaves: Sequence[Leaf]) -> Any:
    try:
        return function(_distinct(leaf.values[name] for leaf in leaves))
    except ValueError as error:
        raise _unmergeable(name, leaves, str(error)) from error


def _stored(name: str, value: Any, leaves: Sequence[Leaf]) -> Any:
    """The stored form of the value: the smallest of those that the leaves have, or the value itself.

    A value may have several forms, encrypted with different nonces or hashed with different salts. A new form
    would be another one on each master, and a conflict again.
    """
    wanted = canonical_bytes(value)
    forms = [
        leaf.document.get(name, leaf.values[name]) for leaf in leaves if leaf.canonical_values[name] == wanted
    ]
    return min(forms, key=canonical_bytes) if forms else value


def _unmergeable(name: str, leaves: Sequence[Leaf], reason: str) -> UnmergeableError:
    return UnmergeableError(reason, document_id=leaves[0].document.get("_id"), property_name=name)
