"""How long to wait before another try."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


def pauses() -> Iterator[float]:
    """Yield the pause before each further try, in seconds: twice as long each time, with jitter."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * (0.5 + int.from_bytes(os.urandom(4), "big") / 2**32)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
