"""What a model's property declares beside its type: how conflicts on it merge, and how it is stored.

    class Fruit(Model, tag="fruit_v1.0", frozen=True, kw_only=True):
        fruit_id: Annotated[str, Immutable(), UniqueKey("fruit_by_fruit_id")]
        color: Annotated[str, LatestBy("updated_on")]
        updated_on: Annotated[Timestamp, Latest()]
        change_count: Annotated[int, Counter()] = 0

A property that declares no protection is stored as it is.
"""

import dataclasses
import enum
from collections.abc import Mapping
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
    """The value of the revision whose property `timestamp` is the most recent."""

    timestamp: str


@dataclasses.dataclass(frozen=True, slots=True)
class Counter(MergeStrategy):
    """A number that only grows; no increment of any revision is lost."""


@dataclasses.dataclass(frozen=True, slots=True)
class UniqueKey:
    """A view has at most one document under a value of this property: a string that never changes.

    The view and its design document are named `view`. Who reads by this key may remember the document.
    """

    view: str


class Protection(enum.Enum):
    """How a property is stored: as it is, as a hash, or encrypted."""

    PUBLIC = "public"
    HASHED = "hashed"
    ENCRYPTED = "encrypted"


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """What one property declares; None where it declares nothing."""

    name: str
    merge: MergeStrategy | None = None
    protection: Protection = Protection.PUBLIC
    unique_key: UniqueKey | None = None


def declared_properties(model_class: type[msgspec.Struct]) -> Mapping[str, Property]:
    """The declarations of a model, by the property's name.

    Raises:
        TypeError: a property declares the same thing twice, names a timestamp that is no property, or is a
            unique key that may change.
    """
    hints = get_type_hints(model_class, include_extras=True)
    names = [name for name in model_class.__struct_fields__ if name not in ("id", "rev")]
    properties = {name: _property(name, hints[name]) for name in names}
    for declared in properties.values():
        if isinstance(declared.merge, LatestBy) and declared.merge.timestamp not in properties:
            raise TypeError(
                f"{model_class.__name__}.{declared.name} merges by {declared.merge.timestamp!r}, "
                "which is not a property"
            )
    return properties


def _property(name: str, hint: Any) -> Property:
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    declared = Property(
        name=name,
        merge=_only(MergeStrategy, extras, name),
        protection=_only(Protection, extras, name) or Protection.PUBLIC,
        unique_key=_only(UniqueKey, extras, name),
    )
    if declared.unique_key is not None and not isinstance(declared.merge, Immutable):
        raise TypeError(f"property {name!r} is a unique key, so it has to be Immutable")
    return declared


def _only(kind: type[T], extras: tuple[Any, ...], name: str) -> T | None:
    found = [extra for extra in extras if isinstance(extra, kind)]
    if len(found) > 1:
        raise TypeError(f"property {name!r} declares more than one {kind.__name__}")
    return found[0] if found else None
