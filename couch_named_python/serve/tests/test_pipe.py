import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couch_named_python.serve.pipe import LogStream, Pipe


class Ends:
    """CouchDB's ends of a pipe."""

    def __init__(self) -> None:
        input_fd, self.to_server = os.pipe()
        self.from_server, output_fd = os.pipe()
        os.set_blocking(self.from_server, False)
        self._input_fd = input_fd
        self.pipe = Pipe(input_fd, output_fd)

    def received(self) -> bytes:
        """Return what has been sent so far."""
        try:
            return os.read(self.from_server, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.pipe.close()
        os.close(self._input_fd)
        os.close(self.from_server)


@pytest.fixture
def ends() -> Iterator[Ends]:
    opened = Ends()
    yield opened
    opened.close()


def test_answers_are_sent_once_there_is_no_further_line(ends: Ends) -> None:
    os.write(ends.to_server, b"one\ntwo\nthr")
    assert next(ends.pipe.lines) == b"one"
    ends.pipe.write(b"1")
    assert next(ends.pipe.lines) == b"two"
    assert ends.received() == b""
    ends.pipe.write(b"2")
    os.write(ends.to_server, b"ee\n")
    assert next(ends.pipe.lines) == b"three"
    assert ends.received() == b"1\n2\n"
    os.close(ends.to_server)


def test_a_line_without_an_end_is_a_line_at_the_end_of_the_input(ends: Ends) -> None:
    os.write(ends.to_server, b"\none")
    os.close(ends.to_server)
    assert list(ends.pipe.lines) == [b"", b"one"]


@given(blocks=st.lists(st.text("ab\n", min_size=1).map(str.encode)))
def test_lines_do_not_depend_on_how_they_arrive(blocks: list[bytes]) -> None:
    ends = Ends()
    lines = []
    whole = b"".join(blocks)
    for block in blocks:
        os.write(ends.to_server, block)
        lines += [next(ends.pipe.lines) for _ in range(block.count(b"\n"))]
    os.close(ends.to_server)
    lines += ends.pipe.lines
    ends.close()
    assert lines == (whole.removesuffix(b"\n").split(b"\n") if whole else [])


def test_a_long_line_arrives_whole() -> None:
    input_fd = os.memfd_create("input")
    os.write(input_fd, b"x" * 1_000_000 + b"\nshort\n")
    os.lseek(input_fd, 0, os.SEEK_SET)
    pipe = Pipe(input_fd, os.memfd_create("output"))
    assert [len(line) for line in pipe.lines] == [1_000_000, 5]
    pipe.close()
    os.close(input_fd)


def test_what_is_printed_is_logged_line_by_line(ends: Ends) -> None:
    stream = LogStream(ends.pipe)
    print("one\ntwo", 3, file=stream)
    print("un", end="", file=stream)
    print("finished", file=stream)
    ends.pipe.flush()
    assert ends.received() == b'["log","one"]\n["log","two 3"]\n["log","unfinished"]\n'
    os.close(ends.to_server)
