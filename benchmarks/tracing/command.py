"""Processor time of crud/basic without traces and with them, beside OpenTelemetry's own instrumentation.

The instrumentation is the peer. Its packages go into a folder of their own:

    pip install --no-deps --target .run/stock -r benchmarks/tracing/peer.txt
    python -m benchmarks tracing --stock .run/stock
"""

import argparse
import collections
import contextlib
import contextvars
import dataclasses
import timeit
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import describe
from benchmarks.measuring.processor import Measured, ServiceUnderLoad, measure_in_turns
from benchmarks.measuring.wrk import Load, wrk_version
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import running
from suite.table import ANY_PORT, ROOT, Sample
from tor_async_couchdb.calls import Call, Outcome, context_for
from tor_async_service.tests.otlp_receiver import OTLPReceiver
from tor_async_service.tracing.tracer import RequestTracer

_FRUITS = 100
_WARM_UP_S = 2
_REPEATS, _REQUESTS = 20, 2_000
_OFF = "off"
_ALL: Mapping[str, str] = {"OTEL_TRACES_SAMPLER": "always_on"}
_FEW: Mapping[str, str] = {
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.01",
}


class _Stock(Sample):
    @property
    def module(self) -> str:
        return "benchmarks.tracing.stock"


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way to trace crud/basic; `environment` has the sampler, None if nothing is traced."""

    name: str
    environment: Mapping[str, str] | None = None
    is_stock: bool = False

    @property
    def sample(self) -> Sample:
        """The service."""
        if self.is_stock:
            return _Stock("crud/basic", ANY_PORT)
        return Sample("crud/basic", ANY_PORT, options=() if self.environment is None else ("--tracing",))


OURS = (Contender(_OFF), Contender("1 % sampled", _FEW), Contender("all sampled", _ALL))
STOCK = (
    Contender("stock, 1 % sampled", _FEW, is_stock=True),
    Contender("stock, all sampled", _ALL, is_stock=True),
)

ROWS = {
    "GET, 1 connection": Load(1, 1, 0),
    "GET, 32 connections": Load(32, 1, 0),
    "PUT, 32 connections": Load(32, 1, 100),
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """What an answer took: processor time, and spans that reached the receiver."""

    cpu_us: float
    spans: float


Rounds = dict[tuple[str, str], list[Figure]]  # the row and the contender: a figure for each round


def measure(
    contenders: Sequence[Contender],
    stock: Path | None,
    couchdb: CouchDB,
    rounds: int,
    seconds: int,
    logs: Path,
) -> Rounds:
    """Every load on every contender in every round.

    Raises:
        SuiteError: a service can't be started, or has lost an update.
    """
    figures: Rounds = collections.defaultdict(list)
    for i in range(rounds):
        print(f"Round {i + 1} of {rounds}", flush=True)
        with contextlib.ExitStack() as stack:
            services, receivers = [], {}
            for contender in contenders:
                receivers[contender.name] = receiver = stack.enter_context(OTLPReceiver())
                services.append(stack.enter_context(_running(contender, stock, receiver, couchdb, logs)))
            for row, load in ROWS.items():
                measure_in_turns(services, load, _WARM_UP_S, i)
                before = {name: receiver.span_count for name, receiver in receivers.items()}
                for name, measured in measure_in_turns(services, load, seconds, i).items():
                    figure = _figure(measured, receivers[name].span_count - before[name])
                    figures[row, name].append(figure)
                    print(
                        f"  {row:20} {name:20} {figure.cpu_us:6.0f} µs {figure.spans:5.2f} spans", flush=True
                    )
    return figures


def _figure(measured: Measured, spans: int) -> Figure:
    answers = sum(outcome.answers for outcome in measured.outcomes)
    return Figure(1000 * measured.cpu_ms, spans / answers)


@contextlib.contextmanager
def _running(
    contender: Contender, stock: Path | None, receiver: OTLPReceiver, couchdb: CouchDB, logs: Path
) -> Iterator[ServiceUnderLoad]:
    folder = logs / contender.name.replace(" ", "_").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **(contender.environment or {})}
    if contender.is_stock:
        environment["PYTHONPATH"] = f"{ROOT}:{stock}"
    with (
        installed([contender.sample], couchdb, "benchmark") as commands,
        running(commands, folder, environment) as (service,),
    ):
        pid = service.process.pid
        yield ServiceUnderLoad(contender.name, service.url, pid, _FRUITS, lambda: {"color": "red"})


def cost_of_hooks_us() -> float:
    """What the places for a tracer cost a GET that makes one call to CouchDB, in µs, if nothing is traced."""
    tracer, call, outcome = RequestTracer(), Call("GET /{db}/{docid}", "fruits", "couch", 5984), Outcome(200)

    def request() -> None:
        span = tracer.begin(None, "GET", "/fruits/{fruit_id}")  # type: ignore[arg-type]  # it is not looked at
        span.enter()
        context_for([contextvars.copy_context()])
        call_span = tracer.start(call)
        tracer.headers()
        call_span.end(outcome)
        _ = call_span.ids
        span.end(200, "")
        _ = span.ids

    return min(timeit.repeat(request, number=_REQUESTS, repeat=_REPEATS)) / _REQUESTS * 1e6


def write(folder: Path, figures: Rounds, hooks_us: float, seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the tables; their path."""
    names = list(dict.fromkeys(name for _, name in figures))
    count = len(next(iter(figures.values())))
    sections = [
        "  \n".join(surroundings),
        f"Medians of {count} rounds of {seconds} s each, second by second in turn, on a fresh database each; "
        "in brackets the lowest and the highest. CPU is the processor time of crud/basic for each answer, "
        "with that of the thread that sends the spans; more is the median of the rounds' differences. Spans "
        "are those that reached a receiver by OTLP over HTTP. A call to CouchDB that serves several requests "
        "has one span, which ours links with all of these requests.",
        f"If nothing is traced, what is left of it costs a GET with one call {hooks_us:.2f} µs.",
    ]
    for row in ROWS:
        off = [figure.cpu_us for figure in figures[row, _OFF]]
        cells = []
        for name in names:
            cpu = [figure.cpu_us for figure in figures[row, name]]
            more = report.median([value - base for value, base in zip(cpu, off, strict=True)])
            spans = report.median([figure.spans for figure in figures[row, name]])
            cells.append([name, report.median_with_range(cpu), f"{more:.0f}", f"{spans:.2f}"])
        sections += [f"## {row}", report.table(("traces", "CPU µs", "more µs", "spans"), cells)]
    return report.write(folder, "tracing", "What traces cost", sections)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--stock", type=Path, metavar="FOLDER", help="where the packages of benchmarks/tracing/peer.txt are"
    )
    settings.add_options(parser, seconds=6)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a change was lost.
    """
    stock = None if options.stock is None else options.stock.resolve()
    if stock is not None and not (stock / "opentelemetry" / "instrumentation" / "tornado").is_dir():
        raise SuiteError(f"{options.stock} does not have the packages of benchmarks/tracing/peer.txt.")
    contenders = (*OURS, *(STOCK if stock is not None else ()))
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(
            couchdb, f"wrk {wrk_version()}", "OpenTelemetry SDK " + version("opentelemetry-sdk")
        )
        figures = measure(contenders, stock, couchdb, options.rounds, options.seconds, settings.RUN_FOLDER)
    hooks_us = cost_of_hooks_us()
    print(f"Written to {write(options.results, figures, hooks_us, options.seconds, surroundings)}")
    return 0
