"""Renames fruits and their color in all word forms, in names and in prose."""

import re
from collections.abc import Iterable

from new_service.source import Source, Span
from new_service.words import COLOR, Noun, Word, unshielded

# A form of a word where it is not part of a longer one: as in fruit_id, AsyncFruitsRetriever, FRUITS_URL.
_FORM = re.compile(
    r"(?<![a-z])(?P<lower>fruits?|colors?)(?![a-z])"
    r"|(?P<camel>Fruits?|Colors?)(?![a-z])"
    r"|(?<![A-Z])(?P<upper>FRUITS?|COLORS?)(?![A-Z])"
)
_ARTICLE = re.compile(
    r"\b(?P<article>[Aa])n?(?P<space>\s+(?:# )?`?)(?=(?P<word>[Ff]ruit|[Cc]olor)s?(?![a-z]))"
)
_PLURAL_POSSESSIVE = re.compile(r"\b(fruits|colors)'(?!\w)", re.IGNORECASE)
# What is said of colors alone: a thing is not in another amount.
_IN_ANOTHER = re.compile(r"\bin another color(, or again) in the same one")


class Renaming:
    """New names for fruits and for what the samples change, their color.

    `property_name` takes color's place in names, `content` in prose and in `change_color`.
    """

    def __init__(self, model: Noun, property_name: Word, content: Word) -> None:
        self._model = model
        self._property = Noun(property_name, property_name.plural())
        self._content = Noun(content, content.plural())

    def python(self, text: str) -> str:
        """Python source with the new names, which may be badly formatted then."""
        text = self._grammar(text)
        return self._renamed(text, Source(text).prose())

    def code(self, text: str) -> str:
        """Any other code, such as a script or a configuration: its comments are prose."""
        text = self._grammar(text)
        return self._renamed(text, (match.span() for match in re.finditer(r"(?<!\S)# .*", text)))

    def markdown(self, text: str) -> str:
        """Prose with code in fences and backticks."""
        text = self._grammar(text)
        code = [
            match.span() for match in re.finditer(r"^```.*?^```$|`[^`\n]+`", text, re.MULTILINE | re.DOTALL)
        ]
        ends = [0, *(end for _, end in code)]
        starts = [*(start for start, _ in code), len(text)]
        return self._renamed(text, zip(ends, starts, strict=True))

    def name(self, text: str) -> str:
        """A name of a file, a view or a type."""
        return self._renamed(text, ())

    def _grammar(self, text: str) -> str:
        if self._content.one != COLOR.one:
            text = _IN_ANOTHER.sub(r"with another color\1 with the same one", text)
        text = _ARTICLE.sub(self._article, text)
        return _PLURAL_POSSESSIVE.sub(self._possessive, text)

    def _article(self, match: re.Match[str]) -> str:
        article = self._nouns(match["word"].lower(), is_content=True).one.article
        return (article.capitalize() if match["article"] == "A" else article) + match["space"]

    def _possessive(self, match: re.Match[str]) -> str:
        several = self._nouns(match[1].lower(), is_content=True).several
        return match[0] if several.snake.endswith("s") else f"{match[0]}s"

    def _nouns(self, word: str, *, is_content: bool) -> Noun:
        if word.startswith("fruit"):
            return self._model
        return self._content if is_content else self._property

    def _renamed(self, text: str, prose: Iterable[Span]) -> str:
        is_prose = bytearray(len(text))
        for start, end in prose:
            is_prose[start:end] = b"\1" * (end - start)

        def new(match: re.Match[str]) -> str:
            before, after = text[: match.start()][-1:], text[match.end() :][:2]
            is_word = bool(is_prose[match.start()]) and _stands_alone(before, after)
            is_content = is_word or text[: match.start()].endswith("change_")
            noun = self._nouns(match[0].lower(), is_content=is_content)
            return _form(noun, match, is_word=is_word)

        return unshielded(_FORM.sub(new, text))


def _stands_alone(before: str, after: str) -> bool:
    """Whether what is between these characters is a word of a sentence, and no part of a name or a path."""
    if before.isalnum() or before in {*"_/.-`{$<=\\"}:
        return False
    return not (after[:1].isalnum() or after[:1] in {*"_/-`(=[{"} or re.match(r"\.\w", after))


def _form(noun: Noun, match: re.Match[str], *, is_word: bool) -> str:
    word = noun.several if match[0].lower().endswith("s") else noun.one
    if is_word:
        return word.prose if match["lower"] else word.prose[0].upper() + word.prose[1:]
    if match["lower"]:
        return word.snake
    return word.camel if match["camel"] else word.snake.upper()
