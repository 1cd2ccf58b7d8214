"""Types for `argparse` options: `parser.add_argument("--host", type=option_types.scheme_host_port)`.

Each converts the option's text, or raises `argparse.ArgumentTypeError` with a sentence that says what is
right. The sentence never repeats the text, which may contain a password.
"""

import logging
import re
from argparse import ArgumentTypeError
from dataclasses import dataclass, field

from tor_async_couchdb.wire.login import BasicLogin

_LOGGING_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_SCHEME_HOST_PORT = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\]+)(:(?P<port>[0-9]{1,5}))?/?", re.IGNORECASE
)
# The segments of a path, each with what may stand there unquoted (RFC 3986, section 3.3).
_COUCHDB_URL = re.compile(
    r"(?P<origin>https?://[^/]+)(?P<path>(/([\w.~!$&'()*+,;=:@-]|%[0-9a-f]{2})+)*)/?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class UserPassword(BasicLogin):
    """A user and a password, as texts."""

    user: str
    password: str = field(repr=False)


def logging_level(value: str) -> int:
    """The number that `logging` has for a level's name, in any case."""
    if value.upper() not in _LOGGING_LEVELS:
        raise ArgumentTypeError(f"should be one of {', '.join(_LOGGING_LEVELS)}")
    return logging.getLevelNamesMapping()[value.upper()]


def scheme_host_port(value: str) -> str:
    """Accepts `http[s]://host[:port]`, an IPv6 host in brackets; returns it without a trailing slash."""
    match = _SCHEME_HOST_PORT.fullmatch(value)
    if match is None or not 0 < int(match["port"] or 80) < 65536:
        raise ArgumentTypeError("required format is http[s]://host:port")
    return value.rstrip("/")


def couchdb_url(value: str) -> str:
    """Accepts `http[s]://host[:port][/path]`, as of a proxy; returns it without a trailing slash."""
    match = _COUCHDB_URL.fullmatch(value)
    try:
        if match is not None:
            return scheme_host_port(match["origin"]) + match["path"].rstrip("/")
    except ArgumentTypeError:
        pass
    raise ArgumentTypeError("required format is http[s]://host:port or http[s]://host:port/path")


def several_hosts(value: str) -> list[str]:
    """Accepts what `scheme_host_port` accepts, for each node of a cluster, separated by commas."""
    hosts = [scheme_host_port(part.strip()) for part in value.split(",")]
    if len(set(hosts)) < len(hosts):
        raise ArgumentTypeError("a node is given twice")
    return hosts


def user_colon_password(value: str) -> UserPassword:
    """Accepts `user:password`; only the password may contain a colon."""
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise ArgumentTypeError("required format is 'user:password'")
    try:
        return UserPassword(user, password)
    except ValueError as error:  # argparse would show the text
        raise ArgumentTypeError(str(error)) from error


def boolean(value: str) -> bool:
    """Accepts true, t, yes, y and 1, and their opposites, in any case."""
    if value.lower() not in _BOOLEANS:
        raise ArgumentTypeError("should be one of true, false, yes, no, 1 or 0")
    return _BOOLEANS[value.lower()]


def positive_count(value: str) -> int:
    """Accepts a whole number, 1 or more."""
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0):
        raise ArgumentTypeError("should be a whole number, 1 or more")
    return int(value)
