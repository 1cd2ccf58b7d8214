"""The loads of one locust process, one after the other: how each is prepared, changed and closed."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]  # it has no types
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING
from werkzeug.datastructures import MultiDict

from loadgen import options
from loadgen.check import check_file
from loadgen.fruits import ServiceError
from loadgen.history import HistoryError
from loadgen.linearizability import Reads
from loadgen.loads import Loads
from loadgen.report import Summary, json_of_services

logger = logging.getLogger(__name__)

Form = MultiDict[str, str]
Services = Mapping[str, Sequence[str]]
"""URLs by the name of the service; the URLs of one service share its fruits."""

CHOSEN = "the chosen services"
"""What locust shows as its host if there is a choice of services."""

START_ERRORS = (ServiceError, OSError, argparse.ArgumentTypeError)
"""Why a load can't start."""


class Session:
    """Keeps the load that runs, or ran last. The options are those of `environment`.

    Raises:
        argparse.ArgumentTypeError: the options name services that can't be.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        given: Any = environment.parsed_options
        self._given = given
        self.loads: Loads | None = None
        if not self.has_choice:
            options.hosts(environment.host or "")
        elif environment.host:
            raise argparse.ArgumentTypeError("Give --services or --host, not both")
        else:
            options.chosen(given.service_urls, given.services)
            environment.host = CHOSEN

    @property
    def has_choice(self) -> bool:
        """Whether there are services to choose from, in place of a host."""
        return bool(self._given.service_urls)

    def prepare(self) -> Loads:
        """The load that the page has prepared, or else the one that the command line asks for.

        Raises:
            ServiceError: there is no host, or the fruits can't be created there.
            OSError: the file of the rows or of the history can't be written.
        """
        if self.loads is None or not self.loads.is_running:
            if self.has_choice:
                services: Services = options.chosen(self._given.service_urls, self._given.services)
            else:
                services = _by_hosts(self._environment.host or "")
            self.loads = self._made(services, self._given.fruits, self._given.percent_put)
        return self.loads

    def prepare_from(self, form: Form) -> str:
        """Make the fruits of a load that the page asks for, or change the one that runs.

        Returns:
            Why that can't be, in one sentence; empty if it is done.
        """
        try:
            fruits = options.number_of_fruits(form.get("fruits", str(self._given.fruits)))
            percent_put = options.percentage(form.get("percent_put", str(self._given.percent_put)))
            services = self._services_in(form)
        except START_ERRORS as error:
            return str(error)
        if self.loads is not None and self.loads.is_running and self.loads.is_started:
            return self._change(self.loads, services, fruits, percent_put)
        self.discard()
        try:
            self.loads = self._made(services, fruits, percent_put)
        except START_ERRORS as error:
            return f"The load can't start: {error}"
        return ""

    def discard(self) -> None:
        """Take back a load that has been prepared and not started."""
        if self.loads is not None and not self.loads.is_started:
            loads, self.loads = self.loads, None
            loads.close()

    def close(self) -> None:
        """Close the books of the load that runs, and set locust's exit code: 0 only if nothing failed."""
        if self.loads is None or not self.loads.is_running:
            return
        problems, remarks = ["the books could not be closed: see the log"], list[str]()
        try:
            problems, remarks = self._close_books(self.loads)
        finally:
            self.loads.conclude(problems, remarks)
            self._environment.process_exit_code = int(bool(problems))

    def _services_in(self, form: Form) -> Services:
        if not self.has_choice:
            return _by_hosts(form.get("host", self._environment.host or ""))
        names = [name for field in form.getlist("services") for name in field.split(",")]
        return options.chosen(self._given.service_urls, names)

    def _change(self, loads: Loads, services: Services, fruits: int, percent_put: int) -> str:
        runner = self._environment.runner
        if runner is None or runner.state not in (STATE_SPAWNING, STATE_RUNNING):
            return "The books of the last load are still being closed: try again in some seconds"
        if (loads.services, loads.fruits) != (services, fruits):
            return "The services and the number of fruits can't change while a load runs: stop it first"
        loads.percent_put = percent_put
        return ""

    def _made(self, services: Services, fruits: int, percent_put: int) -> Loads:
        tsv, history = self._given.tsv, self._given.history
        return Loads(services, fruits=fruits, percent_put=percent_put, tsv=tsv, history=history)

    def _close_books(self, loads: Loads) -> tuple[list[str], list[str]]:
        """Print and write the summaries. The problems, one a service, and the remarks."""
        summaries = loads.end()
        for name, summary in summaries.items():
            sys.stdout.write(f"\n{summary.as_text(name if self.has_choice else '')}\n")
        sys.stdout.flush()
        # The first problem of a service says how many updates were lost; the others, on which fruits.
        problems = [f"{name}: {each.problems[0]}" for name, each in summaries.items() if each.problems]
        try:
            loads.close()
            if self._given.summary:
                self._given.summary.write_text(self._json_of(summaries))
        except OSError as error:
            logger.error("The load's files can't be written: %s", error)
            return [*problems, f"the load's files can't be written: {error}"], []
        if not self._given.history or self._given.headless:
            return problems, []
        # In a thread, so that the page goes on answering.
        reads = Reads(self._given.reads)
        judgement = gevent.get_hub().threadpool.apply(_judge, (self._given.history, reads))
        return [*problems, *judgement.problems], [*judgement.remarks]

    def _json_of(self, summaries: Mapping[str, Summary]) -> str:
        return json_of_services(summaries) if self.has_choice else next(iter(summaries.values())).as_json()


@dataclass(frozen=True)
class _Judgement:
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def _judge(history: Path, reads: Reads) -> _Judgement:
    """Whether a history is linearizable."""
    try:
        verdict = check_file(history, reads)
    except HistoryError as error:
        return _Judgement((f"the history can't be checked: {error}",), ())
    return _Judgement(tuple(str(each) for each in verdict.violations[:1]), (str(verdict),))


def _by_hosts(text: str) -> Services:
    """The services that share the fruits, as one service.

    Raises:
        argparse.ArgumentTypeError: one of them is not a URL.
        ServiceError: there is none.
    """
    hosts = options.hosts(text)
    if not hosts:
        raise ServiceError("it needs --host, a URL such as http://127.0.0.1:8446, or --services")
    return {",".join(hosts): hosts}
