"""What one answer of a fruit service means."""

import enum
import json
import re
from dataclasses import dataclass

OUTCOME_UNKNOWN_PROBLEM = "urn:problem-type:outcome-unknown"
"""The `type` of the 503 that a service gives when it can't tell whether an update was applied."""


class Outcome(enum.Enum):
    """How a request ended, as far as its sender can know."""

    SUCCEEDED = "succeeded"
    GIVEN_UP = "given up"
    """409, or 412 to `If-Match`: there is a conflict, and the service does not (or no longer) retry."""
    REFUSED = "refused"
    """Any other answer that isn't a success; the update was not applied."""
    UNKNOWN = "unknown"
    """An update that may or may not have been applied."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or the lack of one, as the ledger counts it."""

    outcome: Outcome
    conflicts: int = 0
    """How many conflicts the request met, by the header `Conflict-Count`."""
    change_count: int | None = None
    """The fruit's `change_count` in a successful answer."""
    detail: str = ""
    """Why it didn't succeed."""
    status: int | None = None
    """The HTTP status; None if there was no answer."""
    epoch: str = ""
    """When the fruit was made, in a successful answer."""
    etag: str = ""
    """The header `ETag`, if the sender looked for it."""


NOT_SENT = Answer(Outcome.REFUSED, detail="connection refused")
NO_ANSWER = Answer(Outcome.UNKNOWN, detail="no answer")
NO_FRUIT = "200 without the fruit and its change_count"


def answer_to_read(status: int, conflicts: int, body: bytes, fruit_id: str) -> Answer:
    """What an answer to GET means: 200 with the fruit succeeded, anything else was refused."""
    if status != 200:
        return Answer(Outcome.REFUSED, conflicts, detail=problem_summary(status, body), status=status)
    change_count = change_count_of(body, fruit_id)
    if change_count is None:
        return Answer(Outcome.REFUSED, conflicts, detail=NO_FRUIT, status=status)
    return Answer(Outcome.SUCCEEDED, conflicts, change_count, status=status, epoch=epoch_of(body))


def answer_to_update(status: int, conflicts: int, body: bytes, fruit_id: str) -> Answer:
    """What an answer to PUT means. After a 200 without the fruit the outcome is unknown."""
    if status == 200:
        change_count = change_count_of(body, fruit_id)
        if change_count is None:
            return Answer(Outcome.UNKNOWN, conflicts, detail=NO_FRUIT, status=status)
        return Answer(Outcome.SUCCEEDED, conflicts, change_count, status=status, epoch=epoch_of(body))
    detail = problem_summary(status, body)
    if status in (409, 412):
        return Answer(Outcome.GIVEN_UP, conflicts, detail=detail, status=status)
    if status == 503 and json_object(body).get("type") == OUTCOME_UNKNOWN_PROBLEM:
        return Answer(Outcome.UNKNOWN, conflicts, detail=detail, status=status)
    return Answer(Outcome.REFUSED, conflicts, detail=detail, status=status)


def change_count_of(body: bytes, fruit_id: str) -> int | None:
    """The `change_count` in a body that is the fruit `fruit_id`; None if the body is anything else."""
    fruit = json_object(body)
    change_count = fruit.get("change_count")
    if fruit.get("fruit_id") != fruit_id or type(change_count) is not int or not 0 <= change_count < 2**63:
        return None
    return change_count


def epoch_of(body: bytes) -> str:
    """The `created_on` of the fruit in a body: it tells one life of a fruit from the next; empty without."""
    created_on = json_object(body).get("created_on")
    return created_on if isinstance(created_on, str) else ""


def conflict_count(header: object) -> int:
    """The number in a header `Conflict-Count`; 0 if it has no number, or there is none or more than one."""
    return int(header) if isinstance(header, str) and re.fullmatch("[0-9]{1,9}", header) else 0


def problem_summary(status: int, body: bytes) -> str:
    """The status, and the title if `body` is a problem document (RFC 9457)."""
    title = json_object(body).get("title")
    return f"{status} {title}" if isinstance(title, str) else str(status)


def json_object(body: bytes) -> dict[str, object]:
    """The JSON object that `body` is, or an empty one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
