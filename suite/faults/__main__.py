"""Faults of the run that goes on in another terminal: `python -m suite.faults`.

source .run/environment
.venv/bin/python -m suite.faults on database-slow 300
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import requests

_TIMEOUT_S = 60.0  # a service may have to be started again


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 if the run refuses or can't be asked."""
    parser = argparse.ArgumentParser(
        prog="python -m suite.faults",
        description="Shows the faults of a run, switches one on, or all off. First: source .run/environment",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="show all faults (the default)")
    on = actions.add_parser("on", help="switch a fault on, or change its grade")
    on.add_argument("name", metavar="NAME")
    on.add_argument("grade", metavar="GRADE", type=float, nargs="?")
    off = actions.add_parser("off", help="switch a fault off, or all")
    off.add_argument("name", metavar="NAME", nargs="?")
    options = parser.parse_args(arguments)
    try:
        faults = _ask(options)
    except KeyError:
        print("This terminal does not know the run: source .run/environment", file=sys.stderr)
        return 1
    except requests.RequestException:
        print(
            "The run does not answer. Has it ended? Then start it, and source .run/environment",
            file=sys.stderr,
        )
        return 1
    if "error" in faults:
        print(faults["error"], file=sys.stderr)
        return 1
    if options.action == "off":
        print(f"{options.name or 'all faults'}: off")
        return 0
    for fault in faults["faults"]:
        print(_line(fault))
    return 0


def _ask(options: argparse.Namespace) -> dict[str, Any]:
    """The faults that the run answers with, or its error."""
    method = {"on": "PUT", "off": "DELETE"}.get(options.action, "GET")
    name = getattr(options, "name", None)
    answer = requests.request(
        method,
        f"{os.environ['SUITE_CONTROL_URL']}/faults{'' if name is None else f'/{name}'}",
        headers={"Authorization": f"Bearer {os.environ['SUITE_CONTROL_TOKEN']}"},
        json={"grade": options.grade} if method == "PUT" else None,
        timeout=_TIMEOUT_S,
    )
    faults: Any = answer.json()
    if not answer.ok:
        return {"error": faults["error"]}
    return {"faults": faults if isinstance(faults, list) else [faults]}


def _line(fault: dict[str, Any]) -> str:
    grade = fault["grade"]
    state = f"on ({fault['current_grade']:g} {grade['unit']})" if fault["is_on"] else "off"
    return (
        f"{fault['name']}: {state}; from {grade['min']:g} to {grade['max']:g} {grade['unit']}\n"
        f"  {fault['sentence']}"
    )


if __name__ == "__main__":
    sys.exit(main())
