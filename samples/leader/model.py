"""The data: what the leader does, which is counting, and the name under which it is stored."""

import dataclasses
from typing import Self

ELECTION = b"samples/leader/election"
COUNTER_KEY = b"samples/leader/counter"


@dataclasses.dataclass(frozen=True, slots=True)
class Counter:
    """How often a leader has counted, and the term in which it last did; terms only grow."""

    count: int = 0
    term: int = 0

    def increment(self, term: int) -> Self:
        """The counter after the leader of `term` has counted once more."""
        return dataclasses.replace(self, count=self.count + 1, term=term)

    def as_bytes(self) -> bytes:
        """What is stored."""
        return b"%d %d" % (self.count, self.term)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """What was stored."""
        count, term = stored.split()
        return cls(int(count), int(term))
