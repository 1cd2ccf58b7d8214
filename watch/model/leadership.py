"""Who leads, since when, and how long nobody did when the leader changed."""

from typing import Any

# A leader counts five times a second.
_SILENT_AFTER_S = 1.5


class Leadership:
    """What is seen of the leader's counter: only a leader makes it grow."""

    def __init__(self) -> None:
        self._leader: str | None = None
        self._term = 0
        self._count = -1
        self._since_s = 0.0
        self._grew_at_s = 0.0
        self._handover_s: float | None = None

    def seen(self, at_s: float, leader: str | None, term: int, count: int) -> None:
        """An answer of one of the processes: the leader's name, its fencing token and its counter."""
        if count <= self._count and term <= self._term:
            return
        if term != self._term:
            if self._grew_at_s:
                self._handover_s = at_s - self._grew_at_s
            self._term, self._since_s = term, at_s
        self._leader, self._count, self._grew_at_s = leader, count, at_s

    def as_json(self, at_s: float) -> dict[str, Any]:
        """What the page shows at the moment `at_s`."""
        silent_s = at_s - self._grew_at_s
        is_led = bool(self._grew_at_s) and silent_s < _SILENT_AFTER_S
        return {
            "leader": self._leader if is_led else None,
            "term": self._term,
            "count": self._count,
            "since_s": self._since_s,
            "leaderless_s": None if is_led or not self._grew_at_s else round(silent_s, 1),
            "handover_s": self._handover_s,
        }
