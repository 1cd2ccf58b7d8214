"""The command line: `python -m benchmarks NAME`."""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from suite.errors import SuiteError
from suite.processes import interruptible

# Each module has add_options(parser) and run(options), which returns the exit status. The first line of its
# docstring is the summary.
MODULES: Mapping[str, str] = {
    "requests": "request_cost.command",
    "services": "services.command",
    "contention": "contention.command",
    "storm": "storm",
    "cost": "cost.command",
    "protection": "protection",
    "tracing": "tracing.command",
    "correctness": "correctness.command",
    "multi_master": "multi_master",
    "changes": "changes",
    "cluster_simulation": "cluster.simulation",
    "cluster_services": "cluster.services",
    "cluster_availability": "cluster.availability",
    "hot_document": "hot_document",
    "conditional": "conditional",
    "idempotent": "idempotent",
    "append_only": "append_only",
    "migration": "migration",
    "watch": "watch",
    "long_run": "long_run",
    "tampering_round_trip": "tampering_round_trip",
    "query_server": "query_server.command",
    "query_server_couchdb": "query_server.couchdb",
    "etcd": "etcd.command",
}
_EPILOG = "A CouchDB to use in place of the stand-in: COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD."


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the benchmark: 0 if it was measured and nothing was lost."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        print(listing())
        return 0
    module, options = parse(given)
    try:
        status: int = module.run(options)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 1
    return status


def parse(arguments: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The module of a benchmark, and its options. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures side by side.", epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("name", metavar="NAME", choices=MODULES, help=", ".join(MODULES))
    name = parser.parse_args(arguments[:1]).name
    module = _module(name)
    own_parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=_summary(module),
        epilog=_EPILOG,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    module.add_options(own_parser)
    return module, own_parser.parse_args(arguments[1:])


def listing() -> str:
    """A line for each benchmark: its name and its summary."""
    width = max(map(len, MODULES))
    lines = [f"  {name:{width}}  {_summary(_module(name))}" for name in MODULES]
    return "\n".join(["python -m benchmarks NAME [OPTIONS]", "", *lines])


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{MODULES[name]}")


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    with interruptible():
        sys.exit(main())
