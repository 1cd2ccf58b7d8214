"""Load on a fruit service that shows what became of each update; see README.md.

locust -f loadgen/locustfile.py --host http://127.0.0.1:8446 --fruits 5 --percent-put 80
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import flask
import gevent  # type: ignore[import-untyped]  # it has no types
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.url import URL
from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.event import EventHook
from locust.runners import LocalRunner

from loadgen import options
from loadgen.answers import (
    NO_ANSWER,
    NOT_SENT,
    Answer,
    Outcome,
    answer_to_read,
    answer_to_update,
    conflict_count,
)
from loadgen.fruits import ServiceError
from loadgen.load import Load
from loadgen.metrics import LoadMetrics
from loadgen.report import Summary
from loadgen.traffic import Request

logger = logging.getLogger(__name__)

COLORS = ("red", "orange", "blue", "brown", "yellow", "pink", "white", "black")

REQUEST_TIMEOUT_S = 40.0
"""Longer than the 30 s that a service gives a request by default, so that its late answers count."""

STOP_TIMEOUT_S = 10.0
"""How long requests in flight may take when the load stops; then they are cut, with unknown outcome."""

_START_ERRORS = (ServiceError, OSError, argparse.ArgumentTypeError)

Listener = TypeVar("Listener", bound=Callable[..., None])


def listens_to(hook: EventHook) -> Callable[[Listener], Listener]:
    """A decorator that makes locust call the function at an event: `hook.add_listener` with types."""

    def add(listener: Listener) -> Listener:
        hook.add_listener(listener)  # type: ignore[no-untyped-call]  # untyped in locust
        return listener

    return add


class SendOncePool(HTTPClientPool):
    """Clients that send each request once.

    When a connection breaks, geventhttpclient sends PUT and DELETE again, once for each connection of its
    pool and once more. So an update that the service has applied could be applied twice.
    """

    def get_client(self, url: str | URL) -> HTTPClient:
        """The client of a host. It does not send a request again."""
        client = super().get_client(url)
        client._connection_pool.size = -1
        return client


class FruitUser(FastHttpUser):
    """Reads or updates one of the load's fruits, at random, as fast as the service answers."""

    load: ClassVar[Load]
    summaries: ClassVar[dict[str, Summary]] = {}
    """The figures of the latest load, by its host."""
    network_timeout = REQUEST_TIMEOUT_S
    max_redirects = 0
    insecure = False

    def on_start(self) -> None:
        """Take a number, and clients that send each request once."""
        self.number = next(self.load.clients)
        self.service = self.load.hosts[self.number % len(self.load.hosts)]
        agent = self.client.client
        agent.clientpool = SendOncePool(**agent.clientpool.client_args)

    @task
    def read_or_update(self) -> None:
        """Send one request, and record it whatever its answer is."""
        method = "PUT" if random.random() * 100 < self.load.percent_put else "GET"  # noqa: S311 - not a secret
        fruit_id = random.choice(self.load.fruit_ids)  # noqa: S311 - not a secret
        sent_at_s, started_ns = time.time(), time.monotonic_ns()
        answer = NO_ANSWER
        try:
            answer = self.send(method, fruit_id)
        finally:
            duration_s = (time.monotonic_ns() - started_ns) / 1e9
            request = Request(method, fruit_id, self.number, sent_at_s, duration_s, answer, started_ns)
            self.load.record(request)

    def send(self, method: str, fruit_id: str) -> Answer:
        """Send the request and report it to locust, where 409 has a row of its own and is no failure."""
        body = {"color": random.choice(COLORS)} if method == "PUT" else None  # noqa: S311 - not a secret
        url = f"{self.service}/v1.0/fruits/{fruit_id}"
        with self.client.request(
            method, url, name="/v1.0/fruits/{id}", json=body, catch_response=True
        ) as response:
            answer = answer_in(response, method, fruit_id)
            if answer.outcome is Outcome.GIVEN_UP:
                response.request_meta["name"] += " (409)"
                response.success()
            elif answer.outcome is not Outcome.SUCCEEDED:
                response.failure(answer.detail)
        return answer


def answer_in(response: ResponseContextManager, method: str, fruit_id: str) -> Answer:
    """What locust's response means; it may stand for the lack of one."""
    if response.headers is None:
        refused = isinstance(response.request_meta["exception"], ConnectionRefusedError)
        return NOT_SENT if refused else NO_ANSWER
    conflicts = conflict_count(response.headers.get("Conflict-Count"))
    answer_to = answer_to_update if method == "PUT" else answer_to_read
    return answer_to(response.status_code, conflicts, response.content or b"", fruit_id)


@listens_to(events.init_command_line_parser)
def add_options(parser: LocustArgumentParser) -> None:
    """Add loadgen's options to locust's."""
    group: Any = parser.add_argument_group("Fruits")
    group.add_argument(
        "--fruits", type=options.number_of_fruits, default=5, help="How many fruits share the load"
    )
    group.add_argument(
        "--percent-put", type=options.percentage, default=80, help="How many of 100 requests are updates"
    )
    # Several --host are services on one database. Locust's own option would keep the last one only.
    common: Any = parser._optionals
    common.conflict_handler = "resolve"
    common.add_argument(
        "-H",
        "--host",
        action=options.Hosts,
        metavar="URL",
        env_var="LOCUST_HOST",
        help="The service, such as http://127.0.0.1:8446; several --host are services on one database",
    )
    # The page must not write files on locust's machine.
    files = {
        "--tsv": "a row a request",
        "--summary": "the figures as JSON",
        "--history": "what each client was told, for loadgen.check",
    }
    for flag, what in files.items():
        parser.add_argument(
            flag, type=options.writable_file, metavar="FILE", help=f"Write {what}", include_in_web_ui=False
        )
    parser.set_defaults(stop_timeout=STOP_TIMEOUT_S)


@listens_to(events.init)
def refuse_to_be_distributed(environment: Environment, **_: object) -> None:
    """Exit if the users would be in other processes than the books."""
    if not isinstance(environment.runner, LocalRunner):
        sys.stderr.write(
            "loadgen keeps its books in one process: leave --master, --worker and --processes out\n"
        )
        sys.exit(2)


@listens_to(events.init)
def prepare_headless_load(environment: Environment, **_: object) -> None:
    """Make the fruits of a headless load, or exit: later locust would put empty tables around the error."""
    if is_headless(environment):
        try:
            FruitUser.load = load_of(environment)
        except _START_ERRORS as error:
            logger.error("The load can't start: %s", error)
            sys.exit(1)


@listens_to(events.init)
def offer_metrics(web_ui: Any, **_: object) -> None:
    """Show the books of the latest load to Prometheus, at /metrics of locust's page."""
    if web_ui is not None:
        metrics = LoadMetrics(lambda: FruitUser.summaries)

        def show() -> tuple[bytes, dict[str, str]]:
            text, content_type = metrics.exposition(flask.request.headers.get("Accept", ""))
            return text, {"Content-Type": content_type}

        web_ui.app.add_url_rule("/metrics", "loadgen_metrics", web_ui.auth_required_if_enabled(show))


@listens_to(events.init)
def set_clock(**_: object) -> None:
    """Make --run-time count from here: gevent's clock stood still while all modules were imported."""
    gevent.get_hub().loop.update_now()


@listens_to(events.test_start)
def start_load(environment: Environment, **_: object) -> None:
    """Make the fruits, unless that is done, and have the books closed when this load stops."""
    environment.process_exit_code = 1
    if not is_headless(environment):
        try:
            FruitUser.load = load_of(environment)
        except _START_ERRORS as error:
            logger.error("The load can't start: %s", error)
            runner: Any = environment.runner
            gevent.spawn(runner.stop)
            # Ends the greenlet that was about to start the users; StopTest would print three tracebacks.
            raise gevent.GreenletExit from error
    load = FruitUser.load
    test_stop = environment.events.test_stop

    @listens_to(test_stop)
    def end_load(**_: object) -> None:
        test_stop.remove_listener(end_load)  # type: ignore[no-untyped-call]  # untyped in locust
        close_books(environment, load)


@listens_to(events.quitting)
def stop_load(environment: Environment, **_: object) -> None:
    """Close the books before locust reads the exit code, also after an interruption."""
    if environment.runner is not None:
        environment.runner.stop()


def is_headless(environment: Environment) -> bool:
    """Whether locust runs without its page."""
    given: Any = environment.parsed_options
    return bool(given.headless)


def load_of(environment: Environment) -> Load:
    """The load that the options ask for. They are checked once more: locust's page sets them unchecked.

    Raises:
        argparse.ArgumentTypeError: a value isn't one that the command line would take.
        ServiceError: there is no host, or the fruits can't be created there.
        OSError: the file of the rows or of the history can't be written.
    """
    given: Any = environment.parsed_options
    hosts = options.hosts(environment.host or "")
    environment.host = ",".join(hosts)
    if not hosts:
        raise ServiceError("it needs --host, a URL such as http://127.0.0.1:8446")
    return Load(
        *hosts,
        fruits=options.number_of_fruits(str(given.fruits)),
        percent_put=options.percentage(str(given.percent_put)),
        tsv=given.tsv,
        history=given.history,
    )


def close_books(environment: Environment, load: Load) -> None:
    """Print and write the summary; set the exit code, which is 0 only if nothing failed."""
    given: Any = environment.parsed_options
    summary = load.end()
    FruitUser.summaries = {summary.host: summary}
    sys.stdout.write(f"\n{summary.as_text()}\n")
    sys.stdout.flush()
    try:
        load.close()
        if given.summary:
            given.summary.write_text(summary.as_json())
    except OSError as error:
        logger.error("The load's files can't be written: %s", error)
    else:
        environment.process_exit_code = 1 if summary.problems else 0
