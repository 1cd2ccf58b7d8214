"""The ledger of the updates: it compares what was acknowledged with what the database has.

A fruit's `change_count` grows by one with each acknowledged update. So if two updates were acknowledged with
the same count, one has overwritten the other; and if the database's count is lower than an acknowledged one,
an update is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from loadgen.answers import Answer, Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the comparison."""

    acknowledged: int
    refused: int
    """Updates that were answered with an error: they must not be in the database."""
    unknown: int
    """Updates without an answer, or answered "outcome unknown": they may be in the database."""
    in_database: int
    """By how much all change counts grew."""
    lost: int
    """Acknowledgements that share a fruit and a count, plus what the database lacks of the highest count."""
    violations: tuple[str, ...]
    """A sentence for each fruit that breaks acknowledged <= in the database <= acknowledged + unknown."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What the answers alone show while requests are still in flight."""

    in_database: int
    """By how much the change counts grew at least: up to the highest one that an answer showed."""
    lost: int
    """Acknowledgements that share a fruit and a count: lost for certain. There may be more."""


class _CountSet:
    """A set of change counts: a bit each, as most of them follow each other."""

    _BITS_A_PAGE = 1024

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def add(self, count: int) -> bool:
        """Add a count; False if it was there."""
        page, place = divmod(count, self._BITS_A_PAGE)
        before = self._pages.get(page, 0)
        self._pages[page] = before | 1 << place
        return not before >> place & 1


class _Account:
    """The updates of one fruit."""

    def __init__(self, first_count: int) -> None:
        self.first_count = first_count
        self.seen_count = first_count
        """The highest change count that any answer showed."""
        self.acknowledged = 0
        self.shared = 0
        self.refused = 0
        self.unknown = 0
        self._highest_count = first_count
        self._counts = _CountSet()

    def acknowledge(self, change_count: int) -> None:
        self.acknowledged += 1
        self.shared += not self._counts.add(change_count)
        self._highest_count = max(self._highest_count, change_count)

    def lost(self, final_count: int) -> int:
        return self.shared + max(0, self._highest_count - final_count)


class Ledger:
    """Records the answer to each update and compares the sum with the database.

    `first_counts` has the `change_count` that each fruit starts with, by its id.
    """

    def __init__(self, first_counts: Mapping[str, int]) -> None:
        self._accounts = {fruit_id: _Account(count) for fruit_id, count in first_counts.items()}

    def record_update(self, fruit_id: str, answer: Answer) -> None:
        """Record the answer to an update of a fruit."""
        account = self._accounts[fruit_id]
        if answer.outcome is Outcome.UNKNOWN:
            account.unknown += 1
        elif answer.change_count is None:
            account.refused += 1
        else:
            account.acknowledge(answer.change_count)
            account.seen_count = max(account.seen_count, answer.change_count)

    def record_read(self, fruit_id: str, answer: Answer) -> None:
        """Record the answer to a read of a fruit."""
        account = self._accounts[fruit_id]
        if answer.change_count is not None:
            account.seen_count = max(account.seen_count, answer.change_count)

    @property
    def acknowledged(self) -> int:
        """How many updates were acknowledged so far."""
        return sum(account.acknowledged for account in self._accounts.values())

    @property
    def refused(self) -> int:
        """How many updates were refused so far."""
        return sum(account.refused for account in self._accounts.values())

    @property
    def unknown(self) -> int:
        """How many updates have an unknown outcome so far."""
        return sum(account.unknown for account in self._accounts.values())

    def balance(self) -> Balance:
        """The state of the ledger without a look into the database."""
        accounts = self._accounts.values()
        return Balance(
            in_database=sum(account.seen_count - account.first_count for account in accounts),
            lost=sum(account.shared for account in accounts),
        )

    def settle(self, final_counts: Mapping[str, int]) -> Verdict:
        """Compare the ledger with the `change_count` of each fruit in the database."""
        accounts = self._accounts.items()
        return Verdict(
            acknowledged=self.acknowledged,
            refused=self.refused,
            unknown=self.unknown,
            in_database=sum(final_counts[fruit_id] - account.first_count for fruit_id, account in accounts),
            lost=sum(account.lost(final_counts[fruit_id]) for fruit_id, account in accounts),
            violations=tuple(
                violation
                for fruit_id, account in accounts
                if (violation := _violation(fruit_id, account, final_counts[fruit_id]))
            ),
        )


def _violation(fruit_id: str, account: _Account, final_count: int) -> str:
    in_database = final_count - account.first_count
    acknowledged = account.acknowledged
    if in_database < acknowledged:
        return f"fruit {fruit_id}: {acknowledged} updates acknowledged, only {in_database} in the database"
    if in_database > acknowledged + account.unknown:
        return (
            f"fruit {fruit_id}: {in_database} updates in the database, only {acknowledged} acknowledged"
            f" and {account.unknown} of unknown outcome: updates were applied twice"
        )
    return ""
