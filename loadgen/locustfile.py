"""Load on fruit services that shows what became of each update; see README.md.

locust -f loadgen/locustfile.py --host http://127.0.0.1:8446 --fruits 5 --percent-put 80
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import gevent  # type: ignore[import-untyped]  # it has no types
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.url import URL
from locust import FastHttpUser, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.event import EventHook
from locust.runners import LocalRunner
from locust.web import WebUI

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
from loadgen.linearizability import Reads
from loadgen.page import Page
from loadgen.session import START_ERRORS, Session
from loadgen.traffic import Request
from loadgen.writes import REPEAT_PAUSES_S, REPEATED_SHARE

logger = logging.getLogger(__name__)

COLORS = ("red", "orange", "blue", "brown", "yellow", "pink", "white", "black")

REQUEST_TIMEOUT_S = 40.0
"""Longer than the 30 s that a service gives a request by default, so that its late answers count."""

STOP_TIMEOUT_S = 10.0
"""How long requests in flight may take when the load stops; then they are cut, with unknown outcome."""

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
    """Reads or updates one of the load's fruits, at random, as often as `--pace` says."""

    session: ClassVar[Session]
    network_timeout = REQUEST_TIMEOUT_S
    max_redirects = 0
    insecure = False

    def on_start(self) -> None:
        """Take a number, a service, and clients that send each request once."""
        self.books = self.session.prepare()
        self.number = next(self.books.clients)
        name, self.load, self.service = self.books.of_client(self.number)
        self.prefix = f"{name} " if len(self.books.services) > 1 else ""
        agent = self.client.client
        agent.clientpool = SendOncePool(**agent.clientpool.client_args)

    @task
    def read_or_update(self) -> None:
        """Read a fruit, or update it: where the answers have ETags, that takes a read first."""
        fruit_id = random.choice(self.load.fruit_ids)  # noqa: S311 - not a secret
        if random.random() * 100 >= self.books.percent_put:  # noqa: S311 - not a secret
            self.ask("GET", fruit_id, {})
            return
        demands = self.load.demands
        etag = self.ask("GET", fruit_id, {}).etag if demands.etag else ""
        if etag or not demands.etag:
            self.ask("PUT", fruit_id, demands.headers(etag))

    def ask(self, method: str, fruit_id: str, headers: Mapping[str, str]) -> Answer:
        """Send one request, and record it whatever its answer is.

        An update with a key that has no answer is sent again. Its outcome stays unknown unless it succeeds.
        Some that have succeeded are sent again, too, as clients do whose answer was lost.
        """
        body = {"color": random.choice(COLORS)} if method == "PUT" else None  # noqa: S311 - not a secret
        sent_at_s, started_ns = time.time(), time.monotonic_ns()
        answer = NO_ANSWER
        try:
            answer = self.send(method, fruit_id, headers, body)
            for pause_s in REPEAT_PAUSES_S if "Idempotency-Key" in headers else ():
                if answer.outcome is not Outcome.UNKNOWN:
                    break
                gevent.sleep(pause_s)
                again = self.send(method, fruit_id, headers, body)
                if again.outcome is Outcome.SUCCEEDED:
                    answer = again
        finally:
            duration_s = (time.monotonic_ns() - started_ns) / 1e9
            request = Request(method, fruit_id, self.number, sent_at_s, duration_s, answer, started_ns)
            self.books.record(self.load, request)
        is_repeated = "Idempotency-Key" in headers and random.random() < REPEATED_SHARE  # noqa: S311 - not a secret
        if is_repeated and answer.outcome is Outcome.SUCCEEDED:
            self.send(method, fruit_id, headers, body)
        return answer

    def send(
        self, method: str, fruit_id: str, headers: Mapping[str, str], body: Mapping[str, str] | None
    ) -> Answer:
        """Send the request once and tell locust, where 409 and 412 have rows of their own: no failures."""
        url = f"{self.service}/v1.0/fruits/{fruit_id}"
        with self.client.request(
            method,
            url,
            name=f"{self.prefix}/v1.0/fruits/{{id}}",
            json=body,
            headers=dict(headers),
            catch_response=True,
        ) as response:
            answer = answer_in(response, method, fruit_id)
            if answer.outcome is Outcome.GIVEN_UP:
                response.request_meta["name"] += f" ({answer.status})"
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
    answer = answer_to(response.status_code, conflicts, response.content or b"", fruit_id)
    etag = response.headers.get("ETag")
    return replace(answer, etag=etag) if isinstance(etag, str) else answer


@listens_to(events.init_command_line_parser)
def add_options(parser: LocustArgumentParser) -> None:
    """Add loadgen's options to locust's. The parser's own method adds them to the page's form, too."""
    add_option: Any = parser.add_argument
    add_option("--fruits", type=options.number_of_fruits, default=5, help="How many fruits share the load")
    add_option(
        "--percent-put", type=options.percentage, default=80, help="How many of 100 requests are updates"
    )
    only = add_option(
        "--only",
        action="append",
        dest="services",
        metavar="NAME",
        help="Which of the services get load; several may. On the command line, one a time; without, all",
        is_multiple=True,
        include_in_web_ui=False,  # until --services has said which there are
    )
    add_option(
        "--services",
        type=options.services,
        action=options.Services,
        only=only,
        dest="service_urls",
        metavar="NAME=URL,NAME=URL",
        help="Services to choose from, in place of --host. Each gets fruits and users of its own",
        include_in_web_ui=False,
    )
    add_option(
        "--pace",
        type=options.pace,
        env_var="LOADGEN_PACE",
        metavar="N",
        help="How often a second each user asks at most; without, as fast as the service answers",
        include_in_web_ui=False,
    )
    add_option(
        "--watch-url",
        type=options.service_url,
        env_var="LOADGEN_WATCH_URL",
        metavar="URL",
        help="A page that locust's page links to",
        include_in_web_ui=False,
    )
    add_option(
        "--reads",
        choices=[reads.value for reads in Reads],
        default=Reads.LINEARIZABLE.value,
        help="What the page's verdict on a history holds reads to; see loadgen.check",
        include_in_web_ui=False,
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
def open_session(environment: Environment, web_ui: WebUI | None, **_: object) -> None:
    """Make the fruits of a headless load, or exit: later locust would put empty tables around the error.

    Otherwise add the books and the choice of services to the page.
    """
    given: Any = environment.parsed_options
    if given.pace is not None:
        FruitUser.wait_time = constant_throughput(given.pace)
    try:
        session = FruitUser.session = Session(environment)
    except argparse.ArgumentTypeError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    if web_ui is not None:
        Page(web_ui, session, watch_url=given.watch_url, base_path=given.web_base_path or "")
    elif given.headless:
        try:
            session.prepare()
        except START_ERRORS as error:
            logger.error("The load can't start: %s", error)
            sys.exit(1)


@listens_to(events.init)
def set_clock(**_: object) -> None:
    """Make --run-time count from here: gevent's clock stood still while all modules were imported."""
    gevent.get_hub().loop.update_now()


@listens_to(events.test_start)
def start_load(environment: Environment, **_: object) -> None:
    """Make the fruits, unless that is done."""
    environment.process_exit_code = 1
    try:
        FruitUser.session.prepare().start()
    except START_ERRORS as error:
        logger.error("The load can't start: %s", error)
        runner: Any = environment.runner
        gevent.spawn(runner.stop)
        # Ends the greenlet that was about to start the users; StopTest would print three tracebacks.
        raise gevent.GreenletExit from error


@listens_to(events.test_stop)
def end_load(**_: object) -> None:
    """Close the books of the load that stops."""
    FruitUser.session.close()


@listens_to(events.quitting)
def stop_load(environment: Environment, **_: object) -> None:
    """Close the books before locust reads the exit code, also after an interruption."""
    if environment.runner is not None:
        environment.runner.stop()
