"""The properties that a user names for a model, and what each type of them means in Python and in JSON."""

import dataclasses
from collections.abc import Mapping, Sequence

from new_service.errors import NewServiceError
from new_service.words import Word

ENCRYPTED = "encrypted"


@dataclasses.dataclass(frozen=True, slots=True)
class PropertyType:
    """`python` is its expression; `values` are valid, each unlike the next; `wrong` ones are refused."""

    python: str
    values: tuple[object, ...]
    wrong: tuple[object, ...]


_LARGEST = 2**53 - 1

TYPES: Mapping[str, PropertyType] = {
    "str": PropertyType(
        "Annotated[str, msgspec.Meta(min_length=1)]",
        ("first", "second", "third", "fourth", "fifth"),
        (1, 1.5, True, None, [], ["first"], {}, ""),
    ),
    # Other numbers are not the same in every program that reads JSON (RFC 7493, section 2.2).
    "int": PropertyType(
        "Annotated[int, msgspec.Meta(ge=-(2**53) + 1, le=2**53 - 1)]",
        (1, 2, 0, -3, _LARGEST),
        (1.5, True, None, [], [1], {}, "", "1", _LARGEST + 1),
    ),
    "float": PropertyType("float", (1.5, 2.25, 0.0, -3.0, 1e9), (True, None, [], [1.5], {}, "", "1.5")),
    "bool": PropertyType("bool", (True, False, True, False, True), (0, 1, None, [], [True], {}, "", "true")),
    "date-time": PropertyType(
        "Timestamp",
        tuple(f"20{year}-02-28T12:30:00.000000+00:00" for year in (10, 20, 30, 40, 50)),
        (1, 1.5, True, None, [], {}, "", "yesterday", "2020-02-28"),
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """A property of the new model: `type_name` is one of TYPES."""

    name: str
    type_name: str
    is_encrypted: bool = False

    @property
    def word(self) -> Word:
        """Its name as a word."""
        return Word.from_snake(self.name)

    @property
    def type(self) -> PropertyType:
        """What its type means."""
        return TYPES[self.type_name]

    def __str__(self) -> str:
        return f"{self.name}:{self.type_name}" + (f":{ENCRYPTED}" if self.is_encrypted else "")


def parse_property(text: str) -> Property:
    """The property that `NAME:TYPE` or `NAME:TYPE:encrypted` says.

    Raises:
        NewServiceError: it has another form, or the type is unknown.
    """
    name, *rest = text.split(":")
    wrong = f"--property {text}: "
    if not rest:
        raise NewServiceError(f"{wrong}has no type, as in '{name}:str'; types are {', '.join(TYPES)}")
    type_name, *protections = rest
    if type_name not in TYPES:
        raise NewServiceError(f"{wrong}unknown type '{type_name}'; types are {', '.join(TYPES)}")
    if protections == ["hashed"]:
        raise NewServiceError(
            f"{wrong}whether a hash serves to find or to compare a value is up to the use case, so no "
            "command can write it: see email_hash and pin_hash in samples/crud/hash_and_encrypt"
        )
    if protections not in ([], [ENCRYPTED]):
        raise NewServiceError(f"{wrong}after the type only ':{ENCRYPTED}' may follow")
    return Property(name, type_name, is_encrypted=bool(protections))


def noun_of(properties: Sequence[Property]) -> Word:
    """What all of them together are called in prose and in `change_…`."""
    return properties[0].word if len(properties) == 1 else Word(("content",))
