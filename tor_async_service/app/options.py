"""The configuration of a service: options from the command line, secrets from the environment."""

import argparse
import dataclasses
import ipaddress
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.wire.login import KINDS, Login, login_of_environment, login_of_url
from tor_async_couchdb.wire.nodes import database_urls
from tor_async_service.app import logs
from tor_async_service.app.shutdown import ShutdownTimes
from tor_async_service.app.tls import Certificate, CertificateError
from tor_async_service.http.forwarding import TrustedProxies
from tor_async_service.http.service import DEFAULT_DEADLINE_S
from tor_async_service.tracing.tracer import RequestTracer

_MAX_PORT_DIGITS = 5
_MAX_CLOCK_OFFSET_S = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """An option of one service's own, such as `--master=NAME`.

    It is given on the command line or in the environment `variable`. It is required unless it `is_optional`;
    then it is None by default. `read` converts its text, and raises OSError or ValueError if it can't. An
    option that makes no sense without another one `needs` it.
    """

    name: str
    metavar: str
    help: str
    variable: str | None = None
    read: Callable[[str], Any] = str
    is_optional: bool = False
    needs: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class GuardOptions:
    """How the guard of a service's database is made: `make` gets the options' values by their names."""

    options: tuple[Option, ...]
    make: Callable[..., Guard]


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """The values of the options: those that every service has, and `own`, by their names."""

    description: str
    port: int
    ip: str
    database_url: str
    deadline_s: float
    shutdown: ShutdownTimes
    log_format: logs.LogFormat
    log_level: str
    certificate: Certificate | None
    trusted_proxies: TrustedProxies
    tracer: RequestTracer
    has_events: bool
    own: Mapping[str, Any] = dataclasses.field(repr=False)
    login: Login | None
    clock_offset_s: float = 0.0


def parse(
    description: str,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    own_options: Sequence[Option] = (),
) -> Configuration:
    """The configuration. A wrong option ends the process with status 2 and a line that names it."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Credentials for CouchDB: the environment variables COUCHDB_USER and COUCHDB_PASSWORD, or"
        " COUCHDB_JWT. If _FILE is appended to a name, the value is the path of a file with the secret, which"
        " is read again when it changes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=_port, default=8445, help="port to listen on; 0: any that is free")
    parser.add_argument("--ip", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--database",
        type=_database_url,
        default="http://127.0.0.1:5984/tor_async_couchdb_sample",
        metavar="URL",
        help="database to use; of a cluster, its URL on each node, separated by commas",
    )
    parser.add_argument(
        "--couchdb-auth",
        choices=KINDS,
        default="basic",
        help="how to log in to CouchDB: with each request, in a session, or by a token",
    )
    parser.add_argument(
        "--deadline",
        type=_positive_seconds,
        default=DEFAULT_DEADLINE_S,
        metavar="SECONDS",
        help="how long a request may take",
    )
    _add_operations(parser)
    parser.add_argument(
        "--tracing",
        action="store_true",
        help="send traces, as the environment variables OTEL_... say; needs the extra otel",
    )
    parser.add_argument(
        "--events", action="store_true", help="offer what requests do at /_events, to this machine only"
    )
    for option in own_options:
        _add(option, parser)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args([*_of_environment(own_options, environment), *given])
    _check_needs(own_options, options, parser)
    try:
        in_url = login_of_url(database_urls(options.database)[0])
        login = login_of_environment(options.couchdb_auth, environment, in_url)
    except ValueError as error:
        parser.error(str(error))
    if options.events and not _is_loopback(options.ip):
        parser.error(f"argument --events: {options.ip} is not a loopback address")
    return Configuration(
        description=description,
        port=options.port,
        ip=options.ip,
        database_url=options.database,
        deadline_s=options.deadline,
        shutdown=ShutdownTimes(options.shutdown_delay, options.drain_timeout),
        log_format=options.log_format,
        log_level=options.log_level,
        certificate=_certificate(options, parser),
        trusted_proxies=getattr(options, "trusted_proxies", TrustedProxies()),
        tracer=_tracer(environment, parser) if options.tracing else RequestTracer(),
        has_events=options.events,
        own={option.name: getattr(options, option.name, None) for option in own_options},
        login=login,
        clock_offset_s=_clock_offset_s(environment, parser),
    )


def _add_operations(parser: argparse.ArgumentParser) -> None:
    """Adds what those who operate the service decide: how it ends, what it logs, what is in front of it."""
    times = ShutdownTimes()
    parser.add_argument(
        "--shutdown-delay",
        # Without a load balancer that asks for readiness, a delay would only make each stop slower.
        type=_seconds,
        default=times.delay_s,
        metavar="SECONDS",
        help="how long to accept connections after SIGTERM, while load balancers learn of it",
    )
    parser.add_argument(
        "--drain-timeout",
        type=_positive_seconds,
        default=times.drain_timeout_s,
        metavar="SECONDS",
        help="how long requests in flight may take when the service ends",
    )
    parser.add_argument("--log-format", choices=logs.FORMATS, default="text", help="form of the log")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info", help="least level to log")
    for name, content in (("cert", "certificate and those of its issuers"), ("key", "private key")):
        parser.add_argument(
            f"--tls-{name}",
            type=Path,
            default=argparse.SUPPRESS,
            metavar="FILE",
            help=f"serve HTTPS: PEM file with the {content}",
        )
    parser.add_argument(
        "--trusted-proxies",
        type=_trusted_proxies,
        default=argparse.SUPPRESS,
        metavar="ADDRESSES",
        help="whose X-Forwarded headers to believe: addresses and networks, separated by commas",
    )


def _certificate(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Certificate | None:
    chain, key = getattr(options, "tls_cert", None), getattr(options, "tls_key", None)
    if chain is None and key is None:
        return None
    if chain is None:
        parser.error("argument --tls-key: needs --tls-cert too")
    if key is None:
        parser.error("argument --tls-cert: needs --tls-key too")
    certificate = Certificate(chain, key)
    try:
        certificate.context()
    except CertificateError as error:
        parser.error(f"arguments --tls-cert and --tls-key: {error}")
    return certificate


def _tracer(environment: Mapping[str, str], parser: argparse.ArgumentParser) -> RequestTracer:
    try:
        from tor_async_service.tracing.otel import tracer_from_environment  # only needed with --tracing

        return tracer_from_environment(environment)
    except ModuleNotFoundError as error:
        parser.error(f"argument --tracing: the extra otel is not installed: {error}")
    except ValueError as error:
        parser.error(f"argument --tracing: {error}")


def _clock_offset_s(environment: Mapping[str, str], parser: argparse.ArgumentParser) -> float:
    """How fast the clock is: for experiments, so it is no option of the command line."""
    text = environment.get("CLOCK_OFFSET_S") or "0"
    try:
        offset_s = float(text)
    except ValueError:
        offset_s = math.nan
    if not abs(offset_s) <= _MAX_CLOCK_OFFSET_S:
        parser.error(f"environment variable CLOCK_OFFSET_S: {text!r} is not a number of seconds, up to a day")
    return offset_s


def _add(option: Option, parser: argparse.ArgumentParser) -> None:
    def read(text: str) -> Any:
        try:
            return option.read(text)
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from error
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    parser.add_argument(
        f"--{option.name}",
        type=read,
        default=argparse.SUPPRESS,
        required=not option.is_optional,
        metavar=option.metavar,
        help=option.help + ("" if option.variable is None else f" [environment: {option.variable}]"),
    )


def _check_needs(
    own_options: Sequence[Option], options: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    for option in own_options:
        if option.needs is not None and hasattr(options, option.name) and not hasattr(options, option.needs):
            parser.error(f"argument --{option.name}: needs --{option.needs} too")


def _of_environment(own_options: Sequence[Option], environment: Mapping[str, str]) -> list[str]:
    """The options from the environment, as arguments. Those of the command line follow them and win."""
    return [
        f"--{option.name}={environment[option.variable]}"
        for option in own_options
        if option.variable is not None and option.variable in environment
    ]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_PORT_DIGITS and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return ip == "localhost"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _positive_seconds(text: str) -> float:
    try:
        seconds = _seconds(text)
    except argparse.ArgumentTypeError:
        seconds = 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _trusted_proxies(text: str) -> TrustedProxies:
    try:
        return TrustedProxies.named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _database_url(text: str) -> str:
    try:
        Database(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
