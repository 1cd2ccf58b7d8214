"""The properties that a user names for a model, and what each type of them means in Python and in JSON."""

import dataclasses
from collections.abc import Mapping, Sequence

from new_service.errors import NewServiceError
from new_service.words import Word

ENCRYPTED, HASHED = "encrypted", "hashed"


@dataclasses.dataclass(frozen=True, slots=True)
class PropertyType:
    """`python` is its expression; `values` are valid, each unlike the next; `wrong` ones are refused.

    `text` is the expression of the text that is hashed, with `{}` for the value; None if a value has none.
    """

    python: str
    values: tuple[object, ...]
    wrong: tuple[object, ...]
    text: str | None = None


_LARGEST = 2**53 - 1

TYPES: Mapping[str, PropertyType] = {
    "str": PropertyType(
        "Annotated[str, msgspec.Meta(min_length=1)]",
        ("first", "second", "third", "fourth", "fifth"),
        (1, 1.5, True, None, [], ["first"], {}, ""),
        text="{}",
    ),
    # Other numbers are not the same in every program that reads JSON (RFC 7493, section 2.2).
    "int": PropertyType(
        "Annotated[int, msgspec.Meta(ge=-(2**53) + 1, le=2**53 - 1)]",
        (1, 2, 0, -3, _LARGEST),
        (1.5, True, None, [], [1], {}, "", "1", _LARGEST + 1),
        text="str({})",
    ),
    "float": PropertyType("float", (1.5, 2.25, 0.0, -3.0, 1e9), (True, None, [], [1.5], {}, "", "1.5")),
    "bool": PropertyType("bool", (True, False, True, False, True), (0, 1, None, [], [True], {}, "", "true")),
    "date-time": PropertyType(
        "Timestamp",
        tuple(f"20{year}-02-28T12:30:00.000000+00:00" for year in (10, 20, 30, 40, 50)),
        (1, 1.5, True, None, [], {}, "", "yesterday", "2020-02-28"),
        text="{}",
    ),
}
_HASHABLE = tuple(name for name, each in TYPES.items() if each.text is not None)


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """A property of the new model. `type_name` is one of TYPES, `protection` is ENCRYPTED, HASHED or ""."""

    name: str
    type_name: str
    protection: str = ""

    @property
    def is_encrypted(self) -> bool:
        """Whether the database has it encrypted."""
        return self.protection == ENCRYPTED

    @property
    def is_hashed(self) -> bool:
        """Whether the database has only its hash: it is found by its value, and nobody reads that again."""
        return self.protection == HASHED

    @property
    def stored_name(self) -> str:
        """Its name in the model."""
        return f"{self.name}_hash" if self.is_hashed else self.name

    @property
    def word(self) -> Word:
        """Its name as a word."""
        return Word.from_snake(self.name)

    @property
    def type(self) -> PropertyType:
        """What its type means."""
        return TYPES[self.type_name]

    def __str__(self) -> str:
        return ":".join(filter(None, (self.name, self.type_name, self.protection)))


def parse_property(text: str) -> Property:
    """The property that `NAME:TYPE`, `NAME:TYPE:encrypted` or `NAME:TYPE:hashed` says.

    Raises:
        NewServiceError: it has another form, the type is unknown, or its values can't be hashed.
    """
    name, *rest = text.split(":")
    wrong = f"--property {text}: "
    if not rest:
        raise NewServiceError(f"{wrong}has no type, as in '{name}:str'; types are {', '.join(TYPES)}")
    type_name, *protections = rest
    if type_name not in TYPES:
        raise NewServiceError(f"{wrong}unknown type '{type_name}'; types are {', '.join(TYPES)}")
    if protections not in ([], [ENCRYPTED], [HASHED]):
        raise NewServiceError(f"{wrong}after the type only ':{ENCRYPTED}' or ':{HASHED}' may follow")
    declared = Property(name, type_name, *protections)
    if declared.is_hashed and declared.type.text is None:
        why = "has two values, which no hash hides" if type_name == "bool" else "is not looked up by equality"
        raise NewServiceError(f"{wrong}a {type_name} {why}; {', '.join(_HASHABLE)} can be hashed")
    return declared


def noun_of(properties: Sequence[Property]) -> Word:
    """What all of them together are called in prose and in `change_…`."""
    return properties[0].word if len(properties) == 1 else Word(("content",))
