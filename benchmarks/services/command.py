"""Requests a second and the slowest answers of our services, of a peer's, and of CouchDB itself."""

import argparse

from benchmarks.measuring import plots, settings
from benchmarks.measuring.machine import describe
from benchmarks.measuring.wrk import wrk_version
from benchmarks.services import report
from benchmarks.services.measure import measure
from benchmarks.services.peer import peer_versions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    settings.add_options(parser, seconds=5)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a change was lost.
    """
    plots.check_installed()
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb, f"wrk {wrk_version()}", peer_versions())
        rounds = measure(couchdb, options.rounds, options.seconds, settings.RUN_FOLDER)
    print(f"Written to {report.write(options.results, rounds, options.seconds, surroundings)}")
    return 0
