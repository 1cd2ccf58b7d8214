"""Whether a recorded history is linearizable: `python -m loadgen.check FILE`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loadgen.history import HistoryError, read_history
from loadgen.linearizability import Checker, Reads, Verdict

_SHOWN = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdict. The exit status: 0 if linearizable, 1 if not, 2 if the history can't be checked."""
    parser = argparse.ArgumentParser(
        prog="python -m loadgen.check",
        description="Check whether a history that loadgen recorded is linearizable.",
    )
    parser.add_argument("file", type=Path, help="JSON lines, an operation each: see loadgen/README.md")
    parser.add_argument(
        "--reads",
        choices=[reads.value for reads in Reads],
        default=Reads.LINEARIZABLE.value,
        help="what reads are held to: the newest version, or a session of each client (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        verdict = check_file(options.file, Reads(options.reads))
    except HistoryError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{verdict}\n")
    for violation in verdict.violations[:_SHOWN]:
        sys.stdout.write(f"{violation}\n")
    if len(verdict.violations) > _SHOWN:
        sys.stdout.write(f"{len(verdict.violations) - _SHOWN:,} more documents have violations\n")
    return 0 if verdict.is_linearizable else 1


def check_file(path: Path, reads: Reads) -> Verdict:
    """The verdict on a history file.

    Raises:
        HistoryError: the file can't be read, a line is not an operation, or a client whose session is checked
            has two operations at the same time.
    """
    checker = Checker(reads)
    for number, operation in read_history(path):
        try:
            checker.add(operation)
        except HistoryError as error:
            raise HistoryError(f"{path}:{number}: {error}") from error
    return checker.verdict()


if __name__ == "__main__":
    sys.exit(main())
