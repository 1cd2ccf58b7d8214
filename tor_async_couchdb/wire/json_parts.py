"""Takes JSON apart without decoding it, so that a part which can't be decoded is the only one that is lost.

CouchDB stores values that are nested deeper than Python's stack. This code does not recurse. It is many times
slower than a decoder, so it is for texts that a decoder has failed on.
"""

import re

import msgspec

# What a decoder raises for a text that it can't decode, among them texts that are correct JSON.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_WHITESPACE = b" \t\r\n"
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb'|[][{},"]', re.DOTALL)
_NESTED_TOKEN = re.compile(_STRING + rb'|[][{}"]', re.DOTALL)
_NAME = re.compile(rb"\s*(" + _STRING + rb")\s*:", re.DOTALL)


def reason_of(error: Exception) -> str:
    """Why a text can't be decoded."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def members(text: bytes) -> dict[str, bytes]:
    """The values of an object's members, as JSON, by their names; a name that can't be decoded is left out.

    Raises:
        ValueError: the text is no object.
    """
    found = {}
    for part in _parts(text, b"{}"):
        name = _NAME.match(part)
        if name is None:
            raise ValueError("a member has no name")
        try:
            found[msgspec.json.decode(name[1], type=str)] = part[name.end() :]
        except UNDECODABLE:
            continue
    return found


def elements(text: bytes) -> list[bytes]:
    """The elements of an array, as JSON.

    Raises:
        ValueError: the text is no array.
    """
    return _parts(text, b"[]")


def _parts(text: bytes, brackets: bytes) -> list[bytes]:
    """What is between the commas of an object or array."""
    text = text.strip(_WHITESPACE)
    if text[:1] + text[-1:] != brackets:
        raise ValueError("neither an object nor an array")
    parts = []
    depth, start, position = 1, 1, 1
    while token := (_TOKEN if depth == 1 else _NESTED_TOKEN).search(text, position):
        position = token.end()
        match token[0]:
            case b'"':
                raise ValueError("a text has no end")
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
            case b",":
                parts.append(text[start : position - 1])
                start = position
        if depth == 0:
            break
    if depth != 0 or position != len(text):
        raise ValueError("the brackets don't match")
    last = text[start : position - 1]
    return [*parts, last] if parts or last.strip(_WHITESPACE) else []
