"""The version of a design function: CouchDB rebuilds a view's index when it changes."""

from collections.abc import Callable
from typing import Any, TypeVar

DesignFunction = Callable[..., Any]
_Function = TypeVar("_Function", bound=DesignFunction)

FINGERPRINT_PREFIX = "source-"
"""The prefix of a version that is a fingerprint of the function's source, not a number."""


def version(number: int) -> Callable[[_Function], _Function]:
    """Mark a design function with a version. Raise it whenever the function's results change.

    ``cnp-upload`` writes it into the design document ("mypkg.views.townmap|123") and the query server
    runs a function only under its own version, so an index never holds rows of two versions.
    """

    def mark(function: _Function) -> _Function:
        function._cnp_version = int(number)  # type: ignore[attr-defined] # functions take attributes
        return function

    return mark


def get_version(function: DesignFunction) -> int | None:
    """Return the function's version; None if it has none."""
    found: int | None = getattr(function, "_cnp_version", None)
    return found
