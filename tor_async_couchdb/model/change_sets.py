"""Sets of changes: how often a document was changed, when the same change may come back at any time.

A change gets its name before it is first tried, and keeps it when it is tried again. A document has the names
of its changes, and the merge of several revisions has those of all of them. So a change counts once, however
often it was written, and whatever a process has read. (A G-Set: Shapiro et al., INRIA, 2011.)

A set of changes is an entry set (entry_sets.py). Its writers are named `DAY.RANDOM`, by the day, in UTC, on
which a process took the name; each process takes a new one every day. After a while all changes before a day
become a count, under the name of the day alone, so that a document does not grow for ever:

    {"2026-10-27": [(1, 812)], "2026-11-26.kX3v_9QhT2aL": [(1, 4), (6, 6)]}     812 + 5 changes

A merge keeps the count of the latest day and drops the changes before that day: the count contains them. That
holds for changes that reached the database in which it was made within `FOLDED_AFTER_DAYS` days. One that
came later is not counted. No change is ever counted twice.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from tor_async_couchdb.model.entry_names import EntryNamer
from tor_async_couchdb.model.entry_sets import one_entry, size, union

T = TypeVar("T")

ChangeSet = dict[str, list[tuple[int, int]]]

# A link may be cut for so long, less the time by which the clocks of the processes differ.
FOLDED_AFTER_DAYS = 30

_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(\..*)?", re.DOTALL)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


class ChangeNamer:
    """Names the changes that one process makes; `today` returns the day in UTC.

    Give one namer to all actions of a process.
    """

    def __init__(self, today: Callable[[], datetime.date] = _today) -> None:
        self._today = today
        self._day = today()
        self._entries = EntryNamer()

    def name(self, key: str) -> ChangeSet:
        """A new change of the model with this key: the set of it alone."""
        today = self._today()
        if today != self._day:
            self._day, self._entries = today, EntryNamer()
        return one_entry(f"{today}.{self._entries.writer}", self._entries.next_number(key))


def with_change(changes: ChangeSet, change: ChangeSet) -> ChangeSet:
    """The changes of a document and one more, which a namer has named; changes of old days are folded."""
    [(writer, ranges)] = change.items()
    day, _, name = writer.partition(".")
    oldest = datetime.date.fromisoformat(day) - datetime.timedelta(days=FOLDED_AFTER_DAYS)
    folded = _folded(changes, oldest.isoformat())
    # By a clock that is far behind, the change would be taken for one that is in the count.
    day = max(day, _folded_day(folded))
    return union(folded, {f"{day}.{name}": ranges})


def merged_changes(sets: Iterable[ChangeSet]) -> ChangeSet:
    """The changes that are in any of the sets."""
    return without_folded(union(*sets))


def count_changes(changes: ChangeSet) -> int:
    """How many changes there are in the set."""
    return size(changes)


def without_folded(by_writer: Mapping[str, T]) -> dict[str, T]:
    """What is known by writer, without the writers whose changes are in the count of a later day."""
    folded_day = _folded_day(by_writer)
    return {writer: each for writer, each in by_writer.items() if not _is_before(writer, folded_day)}


def _folded(changes: ChangeSet, day: str) -> ChangeSet:
    """The set with one count for all changes before the day, unless that is what it has already."""
    old = {writer: ranges for writer, ranges in changes.items() if _is_before(writer, day)}
    if old.keys() <= {_folded_day(changes)}:
        return changes
    recent = {writer: ranges for writer, ranges in changes.items() if writer not in old}
    return {day: [(1, size(old))]} | recent


def _folded_day(by_writer: Mapping[str, object]) -> str:
    """The latest day that names a count of the changes before it; "" if there is none."""
    days = (match[0] for writer in by_writer if (match := _DAY.fullmatch(writer)) and match[2] is None)
    return max(days, default="")


def _is_before(writer: str, day: str) -> bool:
    match = _DAY.fullmatch(writer)
    return match is not None and match[1] < day
