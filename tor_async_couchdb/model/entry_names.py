"""Names for entries: which process made one, and which of its entries on a model it is."""

import secrets

# It forgets the numbers of single models when it would remember more of them than this.
_MAX_KEYS = 100_000


class EntryNamer:
    """Names the entries of one run of a process: a random `writer`, and a number of each entry.

    The numbers of a key count up, so that entries without a gap are one range. None is used twice.
    """

    def __init__(self) -> None:
        self.writer = secrets.token_urlsafe(9)
        self._last: dict[str, int] = {}
        self._last_forgotten = 0

    def next_number(self, key: str) -> int:
        """The number of the next entry on the model with this key."""
        if key not in self._last and len(self._last) >= _MAX_KEYS:
            self._last_forgotten = max(self._last.values())
            self._last.clear()
        number = self._last.get(key, self._last_forgotten) + 1
        self._last[key] = number
        return number
