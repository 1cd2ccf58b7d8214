"""Histories: what each client was told and when, as JSON lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class HistoryError(Exception):
    """A history can't be read or checked. The sentence names the file and the line where they are known."""


# Without gc, the million operations of a long history don't slow the garbage collector down.
class Operation(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """One request of one client for one document, and its answer."""

    document: str
    kind: Literal["create", "read", "update", "delete"]
    client: int
    start_ns: int
    """When it was sent, on a clock that never goes back and that all clients share."""
    end_ns: int
    """When its answer came, or the wait for it ended."""
    status: int | None = None
    """The HTTP status; None if there was no answer."""
    change_count: Count | None = None
    """The document's `change_count` in the answer: how often it was changed since it was made."""
    epoch: str = ""
    """Names one life of the document, for instance by its creation time. A document that is deleted and made
    again starts a new epoch; the answers that show it, and the answer to its deletion, carry the name."""

    @property
    def is_write(self) -> bool:
        """Whether it changes the document if it is applied."""
        return self.kind != "read"

    @property
    def is_acknowledged(self) -> bool:
        """Whether it certainly happened, and is known to have seen or made one version of the document."""
        if self.status is None:
            return False
        if self.kind == "read" and self.status == 404:
            return True
        if not 200 <= self.status < 300:
            return False
        return self.kind == "delete" or self.change_count is not None

    @property
    def is_unknown(self) -> bool:
        """Whether it is a write that may or may not have been applied, at any time after its start.

        There was no answer, a 5xx, or a success that doesn't show the document.
        """
        if not self.is_write or self.is_acknowledged:
            return False
        return self.status is None or self.status >= 500 or 200 <= self.status < 300

    def __str__(self) -> str:
        if self.status is None:
            answer = "no answer"
        elif self.change_count is None:
            answer = f"{self.status}"
        else:
            answer = f"{self.status} with change_count {self.change_count}"
        epoch = f" of epoch {self.epoch}" if self.epoch else ""
        return f"[{self.start_ns} .. {self.end_ns} ns] client {self.client}: {self.kind}, {answer}{epoch}"


class HistoryLog:
    """Writes a line for each operation, as they end. A file that exists is overwritten.

    Raises:
        OSError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    def write(self, operation: Operation) -> None:
        """Add an operation's line."""
        self._file.write(self._encoder.encode(operation) + b"\n")

    def close(self) -> None:
        """Write what is still in memory and close the file."""
        self._file.close()


def read_history(path: Path) -> Iterator[tuple[int, Operation]]:
    """The operations of a history file, each with the number of its line.

    Raises:
        HistoryError: the file can't be read, or a line is not an operation.
    """
    decoder = msgspec.json.Decoder(Operation)
    names: dict[str, str] = {}  # so that operations share the names that they repeat
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    operation = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise HistoryError(f"{path}:{number}: {error}") from error
                if operation.end_ns < operation.start_ns:
                    raise HistoryError(f"{path}:{number}: end_ns is before start_ns")
                operation.document = names.setdefault(operation.document, operation.document)
                operation.epoch = names.setdefault(operation.epoch, operation.epoch)
                yield number, operation
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}") from error
