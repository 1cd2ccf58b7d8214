"""One load on one service, from its first fruit to its summary."""

from collections.abc import Callable

from loadgen.fruits import Fruits, ServiceError
from loadgen.history import Operation
from loadgen.ledger import Ledger, Verdict
from loadgen.report import Summary
from loadgen.traffic import Request, Traffic
from loadgen.writes import Demands

READ_BACK_DEADLINE_S = 15.0
"""How long the final counts may take: longer than a killed database needs to restart."""


def _forget(operation: Operation) -> None:
    """What becomes of operations without a history."""


class Load:
    """Creates `fruits` fruits at the first of `hosts` and keeps the books of the requests for them.

    `keep` is called with each operation that creates, reads back or deletes them.

    Raises:
        ServiceError: the fruits can't be created.
    """

    def __init__(
        self, *hosts: str, fruits: int, percent_put: int, keep: Callable[[Operation], None] = _forget
    ) -> None:
        self.hosts = hosts
        """The URLs of the service; each user asks one of them."""
        self._percent_put = percent_put
        self._traffic = Traffic()
        self._fruits = Fruits(hosts[0], keep)
        try:
            first_counts = self._fruits.create(fruits)
        except ServiceError:
            self._fruits.close()
            raise
        self.fruit_ids = tuple(first_counts)
        self._ledger = Ledger(first_counts)
        self._summary: Summary | None = None

    @property
    def demands(self) -> Demands:
        """What the service asks of writes."""
        return self._fruits.demands

    def record(self, request: Request) -> None:
        """Record a request that has ended."""
        self._traffic.record(request)
        if request.method == "PUT":
            self._ledger.record_update(request.fruit_id, request.answer)
        else:
            self._ledger.record_read(request.fruit_id, request.answer)

    def figures(self) -> Summary:
        """The summary, once the load has ended; before that the running books.

        Those take nothing from the database. Both `in_database` and `lost` are lower bounds then: what the
        answers showed, and losses that the answers prove. The percentiles are those of the latest requests.
        """
        if self._summary is not None:
            return self._summary
        balance = self._ledger.balance()
        return self._figures(
            self._traffic.latest_percentiles_ms(50, 99), balance.in_database, balance.lost, problems=()
        )

    def end(self, *, read_back_deadline_s: float = READ_BACK_DEADLINE_S) -> Summary:
        """Compare the ledger with the database, and return the figures."""
        verdict = None
        try:
            counts = self._fruits.change_counts(self.fruit_ids, deadline_s=read_back_deadline_s)
        except ServiceError as error:
            problems: tuple[str, ...] = (str(error),)
        else:
            verdict = self._ledger.settle(counts)
            problems = _findings(verdict)
        if self._traffic.succeeded == 0:
            problems = (*problems, "no request succeeded")
        self._summary = self._figures(
            self._traffic.percentiles_ms(50, 99),
            verdict.in_database if verdict else None,
            verdict.lost if verdict else None,
            problems,
        )
        return self._summary

    def delete_fruits(self) -> None:
        """Delete the fruits, as far as the service answers, and close the connections."""
        self._fruits.delete(self.fruit_ids)
        self._fruits.close()

    def _figures(
        self,
        percentiles_ms: list[float | None],
        in_database: int | None,
        lost: int | None,
        problems: tuple[str, ...],
    ) -> Summary:
        traffic, ledger = self._traffic, self._ledger
        p50_ms, p99_ms = percentiles_ms
        return Summary(
            host=",".join(self.hosts),
            fruits=len(self.fruit_ids),
            percent_put=self._percent_put,
            requests=traffic.requests,
            succeeded=traffic.succeeded,
            requests_per_s=traffic.requests_per_s,
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            conflicts_met=traffic.conflicts_met,
            resolved=traffic.resolved,
            given_up=traffic.given_up,
            acknowledged=ledger.acknowledged,
            refused=ledger.refused,
            unknown=ledger.unknown,
            in_database=in_database,
            lost=lost,
            problems=problems,
        )


def _findings(verdict: Verdict) -> tuple[str, ...]:
    lost = (f"{verdict.lost} acknowledged updates were lost",) if verdict.lost else ()
    return (*lost, *verdict.violations)
