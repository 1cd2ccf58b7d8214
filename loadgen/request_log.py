"""A file with a row for each request, separated by tabs."""

from datetime import UTC, datetime
from pathlib import Path

from loadgen.answers import Outcome
from loadgen.traffic import Request


class RequestLog:
    """Writes a header line `time type ok client ms` and then a row for each request, as they end.

    `time` is when the request was sent (ISO 8601, UTC), `ok` is 1 or 0. A file that exists is overwritten.

    Raises:
        OSError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ascii", newline="\n")
        self._file.write("time\ttype\tok\tclient\tms\n")

    def write(self, request: Request) -> None:
        """Add a request's row."""
        time = datetime.fromtimestamp(request.sent_at_s, UTC).isoformat(timespec="microseconds")
        ok = int(request.answer.outcome is Outcome.SUCCEEDED)
        self._file.write(
            f"{time}\t{request.method}\t{ok}\t{request.client}\t{request.duration_s * 1000:.3f}\n"
        )

    def close(self) -> None:
        """Write what is still in memory and close the file."""
        self._file.close()
