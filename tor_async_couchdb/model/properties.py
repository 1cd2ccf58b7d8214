"""What a property declares beside its type: how it is found, how conflicts on it merge, how it is stored.

    class Fruit(Model, tag="fruit_v1.0"):
        fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
        color: Annotated[str, LatestBy("updated_on")]
        updated_on: Annotated[Timestamp, Latest()]
        changes: Annotated[ChangeSet, CountedOnce()]

Only models whose conflicts are merged need merge strategies. A property that declares no protection is stored
as it is. If one property of a model declares a protection, all must, so that a new property can't be stored
in the clear by oversight.
"""

import dataclasses
import enum
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")

# The fields of a model that hold what CouchDB owns.
_COUCHDBS = ("id", "rev", "attachments", "write_nonces")


@dataclasses.dataclass(frozen=True, slots=True)
class MergeStrategy:
    """How one value is made of those that a property has in several conflicting revisions."""


@dataclasses.dataclass(frozen=True, slots=True)
class Immutable(MergeStrategy):
    """The property never changes, so all revisions have the same value."""


@dataclasses.dataclass(frozen=True, slots=True)
class Latest(MergeStrategy):
    """The greatest value, such as the most recent of several timestamps."""


@dataclasses.dataclass(frozen=True, slots=True)
class LatestBy(MergeStrategy):
    """The value from the revision whose property `timestamp`, a `Latest` one, is the most recent."""

    timestamp: str


@dataclasses.dataclass(frozen=True, slots=True)
class Superseded(MergeStrategy):
    """The values of the `LatestBy` property `of` that lost to a later value, each with its timestamp."""

    of: str


@dataclasses.dataclass(frozen=True, slots=True)
class Counter(MergeStrategy):
    """A map of counts that only grow, by the name of the master that counts: the highest of each.

    The total is their sum. No change is lost or counted twice, as long as each master raises only its own
    count, and always the last value that it wrote. (A G-Counter: Shapiro et al., INRIA, 2011.) That needs one
    process for each master, or a database on one node in front of which all processes write. On a cluster use
    `CountedOnce`: there a write that was refused can come back later.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class CountedOnce(MergeStrategy):
    """A set of changes, a `ChangeSet`: the union, in which each change counts once.

    Any number of processes may make changes, on any master, and try them again; see change_sets.py.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class AddsWin(MergeStrategy):
    """A set, stored as a list: the union. An item that one side removed and the other kept comes back."""


@dataclasses.dataclass(frozen=True, slots=True)
class MergedBy(MergeStrategy):
    """The result of a function of the distinct values, which it gets in a fixed order.

    The result must not depend on the order or the groups in which values are merged, as each master merges on
    its own. A ValueError says that the values can't be merged.
    """

    function: Callable[[Sequence[Any]], Any]


class OnDeleteConflict(enum.Enum):
    """What becomes of a document that one master deleted while another changed it."""

    KEEP_CHANGE = "keep the change"
    KEEP_DELETION = "keep the deletion"


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeCount:
    """The property, an int, counts the changes of the document.

    A witness compares it with what it has seen.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class UniqueKey:
    """Documents are found by this property, a string that never changes, in the view named `view`.

    At most one document has a given value. View and design document have the same name. The database
    remembers which document has which key.
    """

    view: str


class Protection(enum.Enum):
    """How a property is stored: as it is, as a hash (the model has the hash, too), or encrypted.

    An encrypted property reads as None once its subject's data key is deleted, so its type must allow None.
    """

    PUBLIC = "public"
    HASHED = "hashed"
    ENCRYPTED = "encrypted"


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The property names the person that the document is about, whose data key encrypts its properties.

    In a model without a subject each document has a data key of its own, under its id.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """The declarations of one property; None for what it does not declare."""

    name: str
    merge: MergeStrategy | None = None
    protection: Protection = Protection.PUBLIC
    unique_key: UniqueKey | None = None
    subject: Subject | None = None
    change_count: ChangeCount | None = None


def declared_properties(model_class: type[msgspec.Struct]) -> Mapping[str, Property]:
    """The declarations of a model's properties, by name.

    Raises:
        TypeError: a property declares the same thing twice, refers to something that is no property, is a
            unique key or a subject that may change, can't be encrypted, or has no protection although another
            property has one.
    """
    hints = get_type_hints(model_class, include_extras=True)
    names = [name for name in model_class.__struct_fields__ if name not in _COUCHDBS]
    properties = {name: _property(name, hints[name]) for name in names}
    for declared in properties.values():
        match declared.merge:
            case LatestBy(other) | Superseded(other) if other not in properties:
                raise TypeError(
                    f"{model_class.__name__}.{declared.name} merges by {other!r}, which is not a property"
                )
    for name, reason in _misclassified(properties, hints):
        raise TypeError(f"{model_class.__name__}.{name} {reason}")
    return properties


def _misclassified(properties: Mapping[str, Property], hints: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    classified = {name for name in properties if _only(Protection, _extras(hints[name]), name)}
    for name in properties if classified else ():
        if name not in classified:
            yield name, "is not classified, but other properties are: PUBLIC, HASHED or ENCRYPTED"
    for name, declared in properties.items():
        if declared.protection is not Protection.ENCRYPTED:
            continue
        if declared.unique_key is not None or declared.subject is not None:
            yield name, "is encrypted, so no document can be found by it"
        if types.NoneType not in get_args(get_args(hints[name])[0]):
            yield name, "is encrypted, so it has to allow None: its key may be deleted"
    for name in [name for name, declared in properties.items() if declared.subject is not None][1:]:
        yield name, "is a second subject"


def _extras(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _property(name: str, hint: Any) -> Property:
    extras = _extras(hint)
    unique_key, subject = _only(UniqueKey, extras, name), _only(Subject, extras, name)
    merge = _only(MergeStrategy, extras, name)
    for role, what in ((unique_key, "a unique key"), (subject, "the subject")):
        if role is not None:
            merge = merge or Immutable()
            if not isinstance(merge, Immutable):
                raise TypeError(f"property {name!r} is {what}, so it has to be Immutable")
    return Property(
        name=name,
        merge=merge,
        protection=_only(Protection, extras, name) or Protection.PUBLIC,
        unique_key=unique_key,
        subject=subject,
        change_count=_only(ChangeCount, extras, name),
    )


def _only(kind: type[T], extras: tuple[Any, ...], name: str) -> T | None:
    found = [extra for extra in extras if isinstance(extra, kind)]
    if len(found) > 1:
        raise TypeError(f"property {name!r} declares more than one {kind.__name__}")
    return found[0] if found else None
