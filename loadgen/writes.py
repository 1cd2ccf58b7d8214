"""What a service asks of its clients' writes: a precondition (`If-Match`) or a key (`Idempotency-Key`).

`Fruits` finds it out when it creates the fruits of a load. Services that ask for nothing get neither.
"""

import uuid
from dataclasses import dataclass

REPEAT_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6)
"""The pauses before an update with a key is sent again because no answer came, or none that settles it."""

REPEATED_SHARE = 0.1
"""How many of the acknowledged updates with a key are sent again all the same. The books don't count them: if
one is applied twice, the database has more updates than were acknowledged."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What goes with each write."""

    etag: bool = False
    """The answer for one fruit has an `ETag`: an update reads the fruit first and sends `If-Match`."""
    key: bool = False
    """Each write has an `Idempotency-Key` of its own. One without an answer is repeated with the same key."""

    def headers(self, etag: str) -> dict[str, str]:
        """The headers of one write of the version `etag`; "*" is any version."""
        headers = {"If-Match": etag} if self.etag else {}
        if self.key:
            headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
        return headers


def asks_for_key(status: int, body: bytes) -> bool:
    """Whether an answer refuses a write because it has no `Idempotency-Key`."""
    return status == 400 and b"idempotency-key" in body.lower()
