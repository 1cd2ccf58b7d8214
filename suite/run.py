"""Runs all samples, puts them under load, shows what happened, and stays until Ctrl-C."""

import signal

if __name__ == "__main__":
    # While the imports below run there is nothing to stop: Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

from suite import screen
from suite.background import EventLoopThread
from suite.control.load import LoadControl
from suite.control.server import Controls, ControlServer, control_server
from suite.couchdb import running_couchdb
from suite.environment_file import NAME as ENVIRONMENT
from suite.environment_file import environment_file
from suite.errors import SuiteError
from suite.experiments.partition import part_masters, partition_problems, partition_step, partition_table
from suite.faults.chaos import played, schedule
from suite.faults.link import Link
from suite.faults.stage import Stage, staged
from suite.faults.switchboard import Switchboard
from suite.faults.table import faults_on
from suite.installations import installed
from suite.load import (
    comparison_table,
    history_of,
    page_command,
    put_load,
    reads_promised,
    verdict_on,
)
from suite.only_run import only_run
from suite.options import parse_run
from suite.processes import SIGNALS, Process, signals_wait
from suite.services import Service, answers, running
from suite.setting import Setting
from suite.table import without_a_row
from suite.watch_page import watch_page
from tor_async_etcd.testing import EtcdServer

_LEGEND = """\
resolved: requests that met a conflict and succeeded all the same
given up: answered 409 or 412; unknown: changes that may have been applied
lost: changes that were acknowledged, but are not in the database"""
_PARTITION_LEGEND = """\
conflicts: fruits that both changed; merged: so often, by either; superseded: shown beside the later color
lost: acknowledged, but in neither database when both were the same again"""
_PAGE_TIMEOUT_S = 60.0
_LOOK_INTERVAL_S = 0.5


def main(arguments: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """The exit status: 0 if everything ran and no change was lost."""
    options = parse_run(arguments)
    setting = setting or Setting()
    if options.only is not None:
        chosen = [sample for sample in setting.samples if sample.name in options.only]
        setting = dataclasses.replace(setting, samples=chosen)
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    setting.logs.mkdir(parents=True, exist_ok=True)
    run = _Run(options, setting)
    try:
        run.go()
    except SuiteError as error:
        screen.complain(str(error))
        return 1
    except KeyboardInterrupt:
        screen.say("Stopped.")
        return 130 if options.once else run.status
    return run.status


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # From here on everything is being stopped. A second Ctrl-C would leave something running.
    for again in SIGNALS:
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Run:
    """One run; `status` is 1 as soon as something that must not happen has happened."""

    def __init__(self, options: argparse.Namespace, setting: Setting) -> None:
        self._options = options
        self._setting = setting
        # A comparison is made without proxies, unless faults are a part of it.
        self._has_link = not options.once or options.chaos is not None
        self._has_watch_page = not options.once
        self._services: Sequence[Service] = ()
        self._pages: list[Process] = []
        self._addresses: list[str] = []
        self.status = 0

    def go(self) -> None:
        """Starts everything, puts it under load, and stays until it is interrupted, if it is to.

        Raises:
            SuiteError: something can't be started, or nothing is left to watch.
        """
        for name in without_a_row():
            screen.complain(f"samples/{name} is left out: it has no row in suite/table.py.")
        with contextlib.ExitStack() as stack:
            say_where = stack.enter_context(only_run(self._setting.folder))
            self._setting.check_ports(has_watch_page=self._has_watch_page)
            stage = self._start(stack)
            self._switchboard = stack.enter_context(Switchboard(faults_on(stage), screen.say))
            if not self._options.once:
                self._open_controls(stage, stack)
            say_where(self._where(stage))
            if self._options.chaos is not None:
                screen.say(f"Chaos {self._options.chaos}: the same number makes the same faults.\n")
            if self._options.duration:
                self._load(stage)
                self._part(stage)
                self._say_verdict()
            if not self._options.once:
                self._stay(stage, stack)

    def _start(self, stack: contextlib.ExitStack) -> Stage:
        setting = self._setting
        started_s = time.monotonic()
        loop = self._loop = stack.enter_context(EventLoopThread())
        link = etcd = None
        with screen.step(_database_step()):
            couchdb = stack.enter_context(running_couchdb(setting.folder / "couchdb", setting.couchdb_port))
            if any(sample.needs("etcd") for sample in setting.samples):
                etcd = stack.enter_context(EtcdServer())
            given = {} if etcd is None else {"etcd": etcd.url}
            commands = stack.enter_context(installed(setting.samples, couchdb, "run", given))
        if self._has_link:
            link = stack.enter_context(Link(couchdb.urls, loop))
            commands = [
                dataclasses.replace(command, link_url=link.through(command.database_url))
                for command in commands
            ]
        if self._has_watch_page:
            commands = [command.with_events() for command in commands]
        with screen.step("Starting the services ..."):
            self._services = services = stack.enter_context(running(commands, setting.logs))
        screen.say(f"All of them are ready after {time.monotonic() - started_s:.1f} s.\n")
        screen.show(screen.service_table(services))
        screen.say(f"Their logs are in {setting.logs}\n")
        screen.say(screen.database_lines(couchdb, commands[0].database_url))
        if link is not None:
            screen.say(
                "The services reach it through proxies that can do harm, which costs "
                f"{link.cost_ms():.1f} ms a request; benchmarks/results/watch.md: what under load.\n"
            )
        if not self._options.once:
            screen.say(
                f"In another terminal, source {setting.folder / ENVIRONMENT} to know the databases, and\n"
                "  .venv/bin/python -m suite.faults\n"
                "shows and switches faults.\n"
            )
        screen.say(screen.curl_lines(services))
        return stack.enter_context(
            staged(services, setting.logs, couchdb, screen.say, loop=loop, link=link, etcd=etcd)
        )

    def _where(self, stage: Stage) -> str:
        """Where a second run may look."""
        if self._has_watch_page:
            return self._setting.watch_url
        return next(iter(stage.supervisor.services.values())).url

    def _open_controls(self, stage: Stage, stack: contextlib.ExitStack) -> None:
        """Lets other terminals and the watch page, if there is one, look into the run and change it."""
        load = LoadControl(self._setting.page_url, stage.supervisor)
        controls = Controls(stage, self._switchboard, load)
        control = stack.enter_context(control_server(controls, self._loop))
        commands = [service.command for service in self._services]
        stack.enter_context(
            environment_file(self._setting.folder, stage.couchdb, commands, control.environment)
        )
        if self._has_watch_page:
            self._open_watch_page(control, stack)

    def _open_watch_page(self, control: ControlServer, stack: contextlib.ExitStack) -> None:
        port = self._setting.watch_port
        command = self._services[0].command
        environment = {**command.environment, **control.environment}
        page = stack.enter_context(watch_page(port, command.database_url, self._setting.logs, environment))
        self._pages.append(page)
        self._addresses.append(f"Watch it: {self._setting.watch_url}")
        screen.say(f"{self._addresses[-1]}\n")

    def _load(self, stage: Stage) -> None:
        summaries = {}
        verdicts = {}
        for service in self._services:
            if service.sample.is_under_load:
                name = service.sample.name
                stage.supervisor.in_use = service.command.label
                with screen.step(f"Load on {name} for {self._options.duration} s ..."), self._chaos(service):
                    summaries[name] = put_load(service, self._options.duration, self._setting.logs)
                reads = reads_promised(service, stage.couchdb)
                verdicts[name] = verdict_on(history_of(service, self._setting.logs), reads)
        if not summaries:
            return
        screen.say("")
        screen.show(comparison_table(summaries))
        screen.say(_LEGEND)
        for name, verdict in verdicts.items():
            screen.say(f"{name}: {verdict}")
        for name, summary in summaries.items():
            self._judge(name, [*_problems(summary, self._options), *map(str, verdicts[name].violations)])

    def _chaos(self, service: Service) -> contextlib.AbstractContextManager[None]:
        """Faults for the time of one load, if they were asked for."""
        seed = self._options.chaos
        if seed is None:
            return contextlib.nullcontext()
        faults = [*self._switchboard.faults.values()]
        acts = schedule(faults, f"{seed} {service.sample.name}", self._options.duration)
        history = history_of(service, self._setting.logs)
        history.unlink(missing_ok=True)
        # The first lines are the fruits of the load, without which it can't start.
        return played(
            acts,
            self._switchboard,
            screen.say,
            can_start=lambda: history.exists() and history.stat().st_size > 0,
        )

    def _part(self, stage: Stage) -> None:
        masters = [service for service in self._services if service.sample.masters]
        if stage.masters is None:
            return
        sample = masters[0].sample
        with screen.step(f"\n{partition_step(sample)}"):
            figures = part_masters(masters, stage.couchdb, stage.masters)
        screen.say("")
        screen.show(partition_table(sample, figures))
        screen.say(_PARTITION_LEGEND)
        self._judge(sample.name, partition_problems(figures))

    def _judge(self, name: str, problems: Sequence[str]) -> None:
        for problem in problems:
            screen.complain(f"{name}: {problem}")
            self.status = 1

    def _say_verdict(self) -> None:
        if self._options.duration and not self.status:
            screen.say("\nNo acknowledged change was lost.")
        if self.status:
            screen.complain("\nSomething went wrong: see above.")

    def _stay(self, stage: Stage, stack: contextlib.ExitStack) -> None:
        """Shows locust's page for more load on the services, until no service runs any more."""
        setting = self._setting
        command = page_command(self._services, stage.couchdb, setting.page_port, setting.logs)
        watch = {"LOADGEN_WATCH_URL": setting.watch_url} if self._has_watch_page else {}
        with signals_wait():
            page = stack.enter_context(Process("Locust's page", command, setting.logs / "locust.log", watch))
        page.wait_until(lambda: answers(setting.page_url), _PAGE_TIMEOUT_S)
        self._pages.append(page)
        self._addresses.insert(0, f"More load: {setting.page_url} (locust)")
        screen.say("\n".join(self._addresses))
        screen.say("Ctrl-C ends everything.")
        while not stage.supervisor.are_all_gone:
            for page in [page for page in self._pages if not page.is_running]:
                screen.complain(f"{page.name} has ended; the run goes on. Its log: {page.log}")
                self._pages.remove(page)
            time.sleep(_LOOK_INTERVAL_S)
        raise SuiteError("No service is left.")


def _database_step() -> str:
    if "COUCHDB_URL" in os.environ:
        return "Asking the CouchDB that COUCHDB_URL names ..."
    return "Starting the CouchDB stand-in (the first time its packages are installed) ..."


def _problems(summary: Mapping[str, Any], options: argparse.Namespace) -> Sequence[str]:
    """The problems of a load. Under chaos requests fail: then only a lost change is one."""
    if options.chaos is None:
        problems: Sequence[str] = summary["problems"]
        return problems
    if summary["lost"] is None:
        return ["the fruits could not be read back, so nobody knows whether a change was lost"]
    return [f"{summary['lost']} acknowledged changes were lost"] if summary["lost"] else []


if __name__ == "__main__":
    sys.exit(main())
