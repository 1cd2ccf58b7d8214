"""Contenders that take turns, and the check that none of them has lost a change."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.measuring.fruits import Fruits, check_changes
from benchmarks.measuring.wrk import Load, Outcome, Target, put_load
from suite.couchdb import CouchDB
from suite.services import ServiceCommand, running
from suite.table import Sample

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Contender:
    """Where a load's requests go, and the fruits in its database."""

    name: str
    target: Target
    fruits: Fruits


def alternated(contenders: Sequence[T], number: int) -> list[T]:
    """The contenders of round `number`: forwards in even rounds, backwards in odd ones.

    The second contender finds a warmer or a busier machine: each of them has to be that in turn.
    """
    return list(contenders) if number % 2 == 0 else list(reversed(contenders))


def put_checked_load(contender: Contender, load: Load, fruit_count: int) -> Outcome:
    """The outcome of a load on so many of the fruits.

    Raises:
        SuiteError: an acknowledged change is missing, or there are changes that were not sent.
    """
    fruits = contender.fruits
    count_before = fruits.settled_change_count() if load.percent_put else 0
    outcome = put_load(contender.target, fruits.ids[:fruit_count], load)
    if load.percent_put:
        growth = fruits.settled_change_count() - count_before
        unanswered = outcome.refusals + outcome.failures + load.connections
        acknowledged = outcome.successes if load.percent_put == 100 else outcome.puts_sent - unanswered
        check_changes(contender.name, growth, at_least=acknowledged, at_most=outcome.puts_sent)
    return outcome


@contextlib.contextmanager
def running_sample(sample: Sample, couchdb: CouchDB, database_url: str, logs: Path) -> Iterator[str]:
    """The URL of one process of a sample on a database, on any free port.

    Raises:
        SuiteError: it did not become healthy.
    """
    command = ServiceCommand(sample.anywhere(), database_url, couchdb.environment)
    with running([command], logs) as services:
        yield services[0].url
