"""Swimlanes: the last requests for one fruit in each sample, a bar each, cut into its tries."""

import collections
from typing import Any

_CHANGES = ("PUT", "DELETE")
_MAX_BARS_PER_S = 4.0
_MAX_OPEN = 512
_MAX_STEPS = 80
# A fruit is left when nobody has changed it for this time.
_COLD_AFTER_S = 4.0
_FORGET_OPEN_AFTER_S = 60.0

# An event of a service's `/_events`, as its JSON.
Event = dict[str, Any]


class Bar:
    """One request: its steps, each of them (what, begin, duration, attempt), in seconds of Unix time."""

    def __init__(self, key: str, begin_s: float) -> None:
        self.key = key
        self.begin_s = begin_s
        self.steps: list[tuple[str, float, float, int]] = []
        self.end_s: float | None = None
        self.status = 0

    def add(self, event: Event) -> None:
        """Adds a step of the request, or its end."""
        what, at_s, duration_s = event["what"], event["at_s"], event.get("duration_s", 0.0)
        if what == "end":
            self.end_s, self.status = max(at_s, self.begin_s), event["status"]
        elif len(self.steps) < _MAX_STEPS:
            begin_s = at_s if what == "wait" else max(at_s - duration_s, self.begin_s)
            length_s = duration_s if what == "wait" else at_s - begin_s
            self.steps.append((what, begin_s, length_s, event.get("attempt", 1)))

    def as_json(self) -> dict[str, Any]:
        """Times are milliseconds after its begin."""
        return {
            "key": self.key,
            "begin_s": self.begin_s,
            "ms": None if self.end_s is None else _ms(self.end_s - self.begin_s),
            "status": self.status,
            "steps": [
                [what, _ms(begin_s - self.begin_s), _ms(length_s), attempt]
                for what, begin_s, length_s, attempt in self.steps
            ],
        }


def _ms(duration_s: float) -> float:
    return round(1000 * duration_s, 1)


class Lane:
    """The bars of one sample. It follows the fruit that is changed most, a few requests each second."""

    def __init__(self) -> None:
        self.path: str | None = None
        self._open: dict[str, Bar] = {}
        self._chosen: set[str] = set()
        self._changed: list[Bar] = []
        self._seen: collections.Counter[str] = collections.Counter()
        self._last_seen_s = 0.0
        self._tokens = _MAX_BARS_PER_S
        self._filled_at_s = 0.0

    def add(self, label: str, event: Event) -> None:
        """Takes an event of one of the sample's processes."""
        key = f"{label}#{event['request']}"
        if event["what"] == "begin":
            self._begin(key, event)
        elif bar := self._open.get(key):
            bar.add(event)
            if bar.end_s is not None:
                del self._open[key]
            if key in self._chosen:
                self._changed.append(bar)
            if bar.end_s is not None:
                self._chosen.discard(key)

    def take(self) -> list[dict[str, Any]]:
        """The bars that have changed since the last call."""
        changed = {bar.key: bar for bar in self._changed}
        self._changed = []
        return [bar.as_json() for bar in changed.values()]

    def _begin(self, key: str, event: Event) -> None:
        path, now_s = event.get("path", ""), event["at_s"]
        if event.get("method") not in _CHANGES:
            return
        self._choose_path(path, now_s)
        self._forget_old(now_s)
        if len(self._open) >= _MAX_OPEN:
            return
        bar = self._open[key] = Bar(key, now_s)
        if path == self.path and self._has_token(now_s):
            self._chosen.add(key)
            self._changed.append(bar)

    def _choose_path(self, path: str, now_s: float) -> None:
        self._seen[path] += 1
        if path == self.path:
            self._last_seen_s = now_s
        elif self.path is None or now_s - self._last_seen_s > _COLD_AFTER_S:
            self.path = self._seen.most_common(1)[0][0] if self.path is None else path
            self._seen.clear()
            self._last_seen_s = now_s

    def _has_token(self, now_s: float) -> bool:
        self._tokens += max(now_s - self._filled_at_s, 0.0) * _MAX_BARS_PER_S
        self._tokens = min(self._tokens, _MAX_BARS_PER_S)
        self._filled_at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _forget_old(self, now_s: float) -> None:
        """Drops requests whose end was lost; they are in the order of their begin."""
        while self._open:
            key, oldest = next(iter(self._open.items()))
            if oldest.begin_s > now_s - _FORGET_OPEN_AFTER_S:
                return
            del self._open[key]
            self._chosen.discard(key)
