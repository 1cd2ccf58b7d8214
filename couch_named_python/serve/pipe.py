"""The pipe to CouchDB: reads its lines, writes the answers, and keeps everything else off the pipe."""

import io
import os
import sys
from collections.abc import Iterator

from couch_named_python.errors import FatalError
from couch_named_python.json_lines import encode_text_line

_READ_SIZE_BYTES = 1 << 16  # what a Linux pipe holds


class PipeClosedError(FatalError):
    """CouchDB closed the pipe in the middle of a list, so no answer can reach it."""


class Pipe:
    """The lines that CouchDB sends and the lines that answer them.

    Answers wait in a buffer until all lines that have arrived are answered, so a client that pipelines costs
    one write a block. CouchDB itself sends one line and waits for its answer.
    """

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._input_fd = input_fd
        self._output = open(output_fd, "wb", buffering=_READ_SIZE_BYTES)  # noqa: SIM115 -- lives as long as we do
        self.lines = self._lines()

    def _lines(self) -> Iterator[bytes]:
        unfinished: list[bytes] = []
        while True:
            self._output.flush()
            block = os.read(self._input_fd, _READ_SIZE_BYTES)
            if not block:
                break
            *lines, rest = block.split(b"\n")
            if lines and unfinished:
                lines[0] = b"".join([*unfinished, lines[0]])
                unfinished.clear()
            if rest:
                unfinished.append(rest)
            yield from lines
        if unfinished:
            yield b"".join(unfinished)
            self._output.flush()

    def write(self, line: bytes) -> None:
        """Answer with one line. It is sent before the next read at the latest."""
        self._output.write(line + b"\n")

    def flush(self) -> None:
        """Send what is still buffered."""
        self._output.flush()

    def close(self) -> None:
        """Send what is still buffered and close CouchDB's end."""
        self._output.close()

    def log(self, message: str) -> None:
        """Write ``message`` to CouchDB's log."""
        self.write(encode_text_line("log", message))


class LogStream(io.TextIOBase):
    """A text stream whose lines go to CouchDB's log: what design functions print."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._unfinished = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Log each complete line of ``text``; the rest waits for its end."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            self._pipe.log(line)
        return len(text)


def take_standard_streams() -> Pipe:
    """Return the pipe to CouchDB, empty stdin and send stdout to the log.

    After this, a design function that prints, reads or starts a program can't break the protocol: what
    Python prints becomes log lines, and what a program writes to file descriptor 1 goes to stderr.
    """
    pipe = Pipe(os.dup(0), os.dup(1))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdout = LogStream(pipe)
    return pipe
