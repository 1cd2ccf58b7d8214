"""Changes that clients repeat while every fifth answer is lost: is one made twice? With keys and without.

Two processes of crud/idempotent, and two of crud/exp_backoff, which knows no keys. Every fifth write's answer
is lost between them and CouchDB, after it was applied, and every fifth request's between clients and them.
"""

import argparse
import asyncio
from pathlib import Path

from benchmarks.measuring import report, settings
from benchmarks.measuring.databases import kind_of
from benchmarks.measuring.machine import describe
from suite.couchdb import CouchDB
from suite.experiments.repeats import LOST, lossy_services, make_changes
from suite.table import sample_named

_SAMPLES = ("crud/idempotent", "crud/exp_backoff")
_HEADER = [
    "sample",
    "changes",
    "answers lost to clients",
    "to the service",
    "repeats",
    "answered that the outcome is unknown",
    "answered in the end",
    "counted",
    "changes/s",
]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    settings.add_results(parser)
    parser.add_argument("--changes", type=settings.count, default=10_000, help="to make with keys")
    parser.add_argument("--without", type=settings.count, default=1_000, help="to make without keys")
    parser.add_argument("--clients", type=settings.count, default=16, help="at the same time")
    parser.add_argument("--fruits", type=settings.count, default=20, help="that they change")


def run(options: argparse.Namespace) -> int:
    """Measures; the exit status is 1 if a change was lost, or made twice in spite of its key."""
    with settings.couchdb_to_measure() as couchdb:
        rows = [
            _row(couchdb, name, changes, options)
            for name, changes in zip(_SAMPLES, (options.changes, options.without), strict=True)
        ]
        path = _write(options, couchdb, rows)
    print(f"Written to {path}")
    return 0


def _row(couchdb: CouchDB, name: str, changes: int, options: argparse.Namespace) -> list[str]:
    with lossy_services(sample_named(name), couchdb, settings.RUN_FOLDER) as lossy:
        made = make_changes(lossy.urls, changes=changes, clients=options.clients, fruits=options.fruits)
        tally = asyncio.run(made)
        lost = lossy.to_clients.lost, lossy.to_services.lost
    if name == _SAMPLES[0]:
        tally.check()
    print(f"{name}: {tally.answered} of {tally.changes} changes answered, {tally.counted} counted")
    figures = (*lost, tally.repeats, tally.unknown, tally.answered, tally.counted)
    rate = f"{tally.changes / tally.duration_s:,.0f}"
    return [name, f"{changes:,}", *(f"{figure:,}" for figure in figures), rate]


def _write(options: argparse.Namespace, couchdb: CouchDB, rows: list[list[str]]) -> Path:
    kind = kind_of(couchdb)
    sections = [
        "  \n".join(describe(couchdb)),
        f"{options.clients} clients change {options.fruits} fruits through two processes{kind.through}. One "
        f"answer of {LOST} is lost after the request was handled. A client repeats a request until it has an "
        "answer; aiohttp, which it uses, sends a PUT again once by itself before.",
        report.table(_HEADER, rows),
    ]
    title = f"Changes that clients repeat, on {kind.title}"
    return report.write(options.results, f"idempotent_{kind.name}", title, sections)
