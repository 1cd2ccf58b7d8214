"""The forms of a word: in names and in prose, one and several, with its article."""

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import inflect


@functools.cache
def _english() -> "inflect.engine":
    import inflect  # here, as options are checked before any package is installed

    engine = inflect.engine()
    # What it has wrong.
    engine.defan("usher.*")
    engine.defa("uuid.*")
    return engine


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """A word of one or more parts, in lower case, for instance `("order", "line")`."""

    parts: tuple[str, ...]

    @classmethod
    def from_snake(cls, name: str) -> Self:
        """The word of a name such as `order_line`."""
        return cls(tuple(name.split("_")))

    @classmethod
    def from_camel(cls, name: str) -> Self:
        """The word of a class name such as `OrderLine`; a run of capitals is one part."""
        parts = re.findall(r"[A-Z]+(?![a-z])[0-9]*|[A-Z][a-z0-9]*", name)
        return cls(tuple(part.lower() for part in parts))

    @property
    def snake(self) -> str:
        """As in `order_line`."""
        return "_".join(self.parts)

    @property
    def camel(self) -> str:
        """As in `OrderLine`."""
        return "".join(part.capitalize() for part in self.parts)

    @property
    def prose(self) -> str:
        """As in "order line"."""
        return " ".join(self.parts)

    @property
    def article(self) -> str:
        """The indefinite article that is spoken before it: "a" or "an"."""
        return _english().a(self.parts[0]).partition(" ")[0]

    def plural(self) -> Self:
        """Several of it. One that is the same as the singular (series) gets a regular ending (serieses)."""
        *others, last = self.parts
        several = _english().plural_noun(last)
        if several == last:
            several += "es" if last.endswith("s") else "s"
        return type(self)((*others, several))


@dataclasses.dataclass(frozen=True, slots=True)
class Noun:
    """A word for one thing and a word for several."""

    one: Word
    several: Word


FRUIT = Noun(Word(("fruit",)), Word(("fruits",)))
COLOR = Noun(Word(("color",)), Word(("colors",)))

# A letter that no name of a user's has. It keeps `background_color` from being renamed with the samples'
# own names.
_SHIELD = "\ua7ff"


def shielded(name: str) -> str:
    """A user's own name, in which no word of the samples is found; `unshielded` gives it back."""
    return re.sub(r"(?i)(fru)(?=it)|(col)(?=or)", rf"\g<0>{_SHIELD}", name)


def unshielded(text: str) -> str:
    """The text with the names as they are."""
    return text.replace(_SHIELD, "")
