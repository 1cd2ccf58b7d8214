"""One load, from its first fruit to its summary."""

import itertools
from contextlib import ExitStack, closing
from pathlib import Path

from loadgen.answers import NOT_SENT
from loadgen.fruits import Fruits, ServiceError
from loadgen.history import HistoryLog, Operation
from loadgen.ledger import Ledger, Verdict
from loadgen.report import Summary
from loadgen.request_log import RequestLog
from loadgen.traffic import Request, Traffic

READ_BACK_DEADLINE_S = 15.0
"""How long the final counts may take: longer than a killed database needs to restart."""


class Load:
    """Creates `fruits` fruits at the first of `hosts` and records the requests for them.

    Raises:
        ServiceError: the fruits can't be created.
        OSError: the file `tsv` or `history` can't be written.
    """

    def __init__(
        self,
        *hosts: str,
        fruits: int,
        percent_put: int,
        tsv: Path | None = None,
        history: Path | None = None,
    ) -> None:
        self.hosts = hosts
        """The services that share the fruits; each user asks one of them."""
        self.percent_put = percent_put
        self.clients = itertools.count(1)
        """Numbers for the users."""
        self._traffic = Traffic()
        with ExitStack() as resources:
            self._log = resources.enter_context(closing(RequestLog(tsv))) if tsv else None
            self._history = resources.enter_context(closing(HistoryLog(history))) if history else None
            record = self._history.write if self._history else _forget
            self._fruits = resources.enter_context(closing(Fruits(hosts[0], record)))
            first_counts = self._fruits.create(fruits)
            self._resources = resources.pop_all()
        self.fruit_ids = tuple(first_counts)
        self._ledger = Ledger(first_counts)

    def record(self, request: Request) -> None:
        """Record a request that has ended."""
        self._traffic.record(request)
        if request.method == "PUT":
            self._ledger.record(request.fruit_id, request.answer)
        if self._log:
            self._log.write(request)
        if self._history and request.answer is not NOT_SENT:
            self._history.write(_operation(request))

    def end(self, *, read_back_deadline_s: float = READ_BACK_DEADLINE_S) -> Summary:
        """Compare the ledger with the database, delete the fruits, and return the figures."""
        try:
            counts = self._fruits.change_counts(self.fruit_ids, deadline_s=read_back_deadline_s)
        except ServiceError as error:
            summary = self._summary(None, (str(error),))
        else:
            verdict = self._ledger.settle(counts)
            summary = self._summary(verdict, _findings(verdict))
        self._fruits.delete(self.fruit_ids)
        return summary

    def close(self) -> None:
        """Close the connections and the files.

        Raises:
            OSError: the file `tsv` or `history` can't be written.
        """
        self._resources.close()

    def _summary(self, verdict: Verdict | None, problems: tuple[str, ...]) -> Summary:
        traffic, ledger = self._traffic, self._ledger
        p50_ms, p99_ms = traffic.percentiles_ms(50, 99)
        if traffic.succeeded == 0:
            problems = (*problems, "no request succeeded")
        return Summary(
            host=",".join(self.hosts),
            fruits=len(self.fruit_ids),
            percent_put=self.percent_put,
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
            in_database=verdict.in_database if verdict else None,
            lost=verdict.lost if verdict else None,
            problems=problems,
        )


def _forget(operation: Operation) -> None:
    """What becomes of operations without a history."""


def _operation(request: Request) -> Operation:
    answer = request.answer
    return Operation(
        document=request.fruit_id,
        kind="update" if request.method == "PUT" else "read",
        client=request.client,
        start_ns=request.started_ns,
        end_ns=request.started_ns + round(request.duration_s * 1e9),
        status=answer.status,
        change_count=answer.change_count,
        epoch=answer.epoch,
    )


def _findings(verdict: Verdict) -> tuple[str, ...]:
    lost = (f"{verdict.lost} acknowledged updates were lost",) if verdict.lost else ()
    return (*lost, *verdict.violations)
