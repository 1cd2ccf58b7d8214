"""Random schedules of writes to a simulated cluster: is a change lost? Is each known mistake found?"""

import argparse
import collections
import concurrent.futures
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.measuring import report, settings
from suite.errors import SuiteError
from tor_async_couchdb.testing.cluster_mistakes import MISTAKES, RARE_MISTAKES
from tor_async_couchdb.testing.cluster_schedules import CIRCUMSTANCES, Schedule

_BATCH_SIZE = 500  # schedules for one process at a time

_ALL_MISTAKES = {**MISTAKES, **RARE_MISTAKES}

Counts = collections.Counter[str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--schedules", type=settings.count, default=200_000, metavar="N", help="how many")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first one's")
    settings.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Runs all schedules and writes the result; the exit status.

    Raises:
        SuiteError: a change was lost or doubled, or a mistake was not found.
    """
    each = max(1, options.schedules // len(CIRCUMSTANCES))
    with concurrent.futures.ProcessPoolExecutor() as pool:
        outcomes = {
            name: sum(pool.map(_outcome, *_batches(name, options.seed, each)), Counts())
            for name in CIRCUMSTANCES
        }
        found = dict(
            zip(
                _ALL_MISTAKES,
                pool.map(_schedules_until_found, _ALL_MISTAKES, itertools.repeat(each)),
                strict=True,
            )
        )
    print(f"Written to {_write(options.results, outcomes, found, each)}")
    problems = [f"{name}: {counts['problems']} schedules" for name, counts in outcomes.items()]
    problems = [problem for problem in problems if ": 0 " not in problem]
    problems += [f"not found in {each} schedules: {name}" for name, count in found.items() if count is None]
    if problems:
        raise SuiteError("\n".join(problems))
    return 0


def _batches(name: str, seed: int, schedules: int) -> tuple[Iterable[str], Iterable[range]]:
    end = seed + schedules
    starts = range(seed, end, _BATCH_SIZE)
    return itertools.repeat(name), [range(start, min(start + _BATCH_SIZE, end)) for start in starts]


def _outcome(name: str, seeds: range) -> Counts:
    counts = Counts()
    for seed in seeds:
        outcome = Schedule(seed, CIRCUMSTANCES[name]).run()
        if outcome.problems:
            print(f"{name}, seed {seed}: {', '.join(outcome.problems)}")
        counts += Counts(
            schedules=1,
            problems=bool(outcome.problems),
            acknowledged=outcome.acknowledged,
            refused=outcome.refused,
            unknown=outcome.unknown,
            crashes=outcome.crashes,
            calls=outcome.calls.total(),
        )
    return counts


def _schedules_until_found(name: str, schedules: int) -> int | None:
    mistake = _ALL_MISTAKES[name]
    circumstances = CIRCUMSTANCES[mistake.circumstances]
    for seed in range(schedules):
        if Schedule(seed, circumstances, mistake.make_sealer).run().problems:
            return seed + 1
    return None


def _write(
    folder: Path, outcomes: Mapping[str, Counts], found: Mapping[str, int | None], schedules: int
) -> Path:
    names = ("schedules", "acknowledged", "refused", "unknown", "crashes", "problems")
    rows = [[name, *(f"{counts[each]:,}" for each in names)] for name, counts in outcomes.items()]
    total = sum(outcomes.values(), Counts())
    rows.append(["together", *(f"{total[each]:,}" for each in names)])
    mistakes = [
        [name, f"not in {schedules:,}" if count is None else f"{count:,}"] for name, count in found.items()
    ]
    return report.write(
        folder,
        "cluster_simulation",
        "Writes to a simulated cluster",
        [
            "A schedule is four clients that change one document three times each, on three copies of it. "
            "*Problems* are schedules in which an acknowledged change was lost, a change was applied twice "
            "or after it was refused, or a live leaf was left.",
            report.table(["circumstances", *names], rows),
            "How many schedules it takes to find a mistake that is planted into the rule:",
            report.table(["mistake", "schedules"], mistakes),
        ],
    )
