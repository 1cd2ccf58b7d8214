"""Canonical JSON by RFC 8785: one text for equal JSON values, which a signature can cover."""

import re
from typing import Any

import msgspec
import rfc8785

LARGEST_EXACT_INTEGER = 2**53 - 1  # RFC 8259, section 6
HALF_A_SURROGATE_PAIR = re.compile("[\ud800-\udfff]")


def encode(value: Any) -> bytes:
    """The value's canonical JSON.

    Raises:
        ValueError, RecursionError: RFC 8785 has no form for it.
    """
    # To sort by code points is to sort as RFC 8785 does as long as all names are ASCII, and msgspec takes a
    # twentieth of the time.
    return msgspec.json.encode(value, order="sorted") if is_plain(value) else rfc8785.dumps(value)


def is_plain(value: Any) -> bool:
    """Whether the value is nothing but text, exact integers and constants, under names in ASCII.

    Any JSON parser gives it back as it was; of what is not plain some do not.
    """
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) or HALF_A_SURROGATE_PAIR.search(value) is None
    if kind is int:
        return bool(abs(value) <= LARGEST_EXACT_INTEGER)
    if kind is dict:
        for name, member in value.items():
            if not (type(name) is str and name.isascii() and is_plain(member)):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110 - a generator would double the depth of the recursion
            if not is_plain(item):
                return False
        return True
    return value is None or kind is bool
