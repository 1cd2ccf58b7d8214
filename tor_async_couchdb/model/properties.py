"""What a model's property declares beside its type: how conflicts on it merge, and how it is stored.

    class Fruit(Model, tag="fruit_v1.0", frozen=True, kw_only=True):
        fruit_id: Annotated[str, Immutable(), UniqueKey("fruit_by_fruit_id")]
        color: Annotated[str, LatestBy("updated_on")]
        updated_on: Annotated[Timestamp, Latest()]
        change_counts: Annotated[dict[str, int], Counter()]

A property that declares no protection is stored as it is. But where one of a model's properties declares one,
all have to: what a new one is must not be forgotten. `merge` does what the strategies say.
"""

import dataclasses
import enum
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class MergeStrategy:
    """How the values of one property in several conflicting revisions become one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Immutable(MergeStrategy):
    """The property never changes, so that all revisions agree on it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Latest(MergeStrategy):
    """The greatest value: the most recent of several timestamps."""


@dataclasses.dataclass(frozen=True, slots=True)
class LatestBy(MergeStrategy):
    """The value of the revision whose property `timestamp`, a `Latest` one, is the most recent."""

    timestamp: str


@dataclasses.dataclass(frozen=True, slots=True)
class Superseded(MergeStrategy):
    """The values of the `LatestBy` property `of` that lost to a later one, each with its timestamp."""

    of: str


@dataclasses.dataclass(frozen=True, slots=True)
class Counter(MergeStrategy):
    """Counts that only grow, by the name of the master that counted: the highest of each.

    The number is their sum. No change is lost and none counted twice, as only one master, which has all its
    earlier changes before it, ever raises its own count.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class AddsWin(MergeStrategy):
    """A set, kept as a list: what any revision has. What one side removed and another kept is back."""


@dataclasses.dataclass(frozen=True, slots=True)
class MergedBy(MergeStrategy):
    """What a function of one's own makes of the distinct values, which it is given in a fixed order.

    It has to give the same value in whatever order and groups values are merged, on every master; a
    ValueError says that these can't be merged.
    """

    function: Callable[[Sequence[Any]], Any]


class Deletes(enum.Enum):
    """What becomes of a document that one master deleted while another changed it."""

    LOSE = "lose"
    WIN = "win"


@dataclasses.dataclass(frozen=True, slots=True)
class UniqueKey:
    """A view has at most one document under a value of this property: a string that never changes.

    The view and its design document are named `view`. Who reads by this key may remember the document.
    """

    view: str


class Protection(enum.Enum):
    """How a property is stored: as it is, as a hash (which is what the model has, too), or encrypted.

    An encrypted one becomes None when its subject's data key is deleted, so it has to allow that.
    """

    PUBLIC = "public"
    HASHED = "hashed"
    ENCRYPTED = "encrypted"


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The property says whom the document is about: whose data key encrypts what is encrypted in it.

    In a model without one each document is a subject of its own, by its id.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """What one property declares; None where it declares nothing."""

    name: str
    merge: MergeStrategy | None = None
    protection: Protection = Protection.PUBLIC
    unique_key: UniqueKey | None = None
    subject: Subject | None = None


def declared_properties(model_class: type[msgspec.Struct]) -> Mapping[str, Property]:
    """The declarations of a model, by the property's name.

    Raises:
        TypeError: a property declares the same thing twice, refers to one that is no property, is a unique
            key or a subject that may change, can't be encrypted, or is not classified where another is.
    """
    hints = get_type_hints(model_class, include_extras=True)
    names = [name for name in model_class.__struct_fields__ if name not in ("id", "rev")]
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
    declared = Property(
        name=name,
        merge=_only(MergeStrategy, extras, name),
        protection=_only(Protection, extras, name) or Protection.PUBLIC,
        unique_key=_only(UniqueKey, extras, name),
        subject=_only(Subject, extras, name),
    )
    for role in (declared.unique_key, declared.subject):
        if role is not None and not isinstance(declared.merge, Immutable):
            what = "a unique key" if role is declared.unique_key else "the subject"
            raise TypeError(f"property {name!r} is {what}, so it has to be Immutable")
    return declared


def _only(kind: type[T], extras: tuple[Any, ...], name: str) -> T | None:
    found = [extra for extra in extras if isinstance(extra, kind)]
    if len(found) > 1:
        raise TypeError(f"property {name!r} declares more than one {kind.__name__}")
    return found[0] if found else None
