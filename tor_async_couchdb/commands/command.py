"""A command: its name, its help, its options, and what it does."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """`run` gets the options that `add_options` added, and returns the exit status.

    `summary` is one line of help; `details` follow it in the command's own help.
    """

    name: str
    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int] | None = None  # None: its own commands run
    details: str = ""


def add_commands(parser: argparse.ArgumentParser, commands: Iterable[Command]) -> None:
    """Adds commands to a parser, of which a command line names one."""
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}. {command.details}",
            allow_abbrev=False,
        )
        command.add_options(subparser)
        if command.run is not None:
            subparser.set_defaults(run=command.run)
