from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd.errors import TransportError
from tor_async_etcd.tests.amounts import examples
from tor_async_etcd.wire.connection import HIGH_WATER_BYTES, Connection, LineStream, Reply


class FakeSocket(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


BUFFER = memoryview(bytearray(HIGH_WATER_BYTES + 1))


def connected() -> tuple[Connection, FakeSocket]:
    connection, socket = Connection("http://etcd", BUFFER), FakeSocket()
    connection.connection_made(socket)
    return connection, socket


def receive(connection: Connection, data: bytes) -> None:
    """Do what asyncio does when something comes."""
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


KNOWN_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
UNENDED_LINE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n3\r\ntwo\r\n0\r\n\r\n"
LINES = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\none\n\r\n3\r\ntwo\r\n9\r\n\nthree\nfo\r\n3\r\nur\n\r\n0\r\n\r\n"
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if start < end]


@examples
@given(places=st.lists(st.integers(0, 1000), max_size=6), chunked=st.booleans())
async def test_answer_is_read_however_it_is_cut(places: list[int], chunked: bool) -> None:
    connection, socket = connected()
    exchange = asyncio.create_task(connection.exchange(b"request"))
    for piece in cut(CHUNKED if chunked else KNOWN_LENGTH, places):
        await asyncio.sleep(0)
        receive(connection, piece)
    assert await exchange == Reply(404 if chunked else 200, b"hello")
    assert socket.written == b"request"
    assert connection.reusable


@examples
@given(places=st.lists(st.integers(0, 1000), max_size=6), impatience=st.integers(0, 3))
async def test_lines_are_read_however_they_are_cut_and_waiting_can_be_given_up(
    places: list[int], impatience: int
) -> None:
    connection, _ = connected()
    beginning = asyncio.create_task(connection.begin(b"request"))
    stream = LineStream(connection, 200, None)
    lines: list[bytes] = []
    reading: asyncio.Task[None] | None = None
    for number, piece in enumerate(cut(LINES, places)):
        await asyncio.sleep(0)
        receive(connection, piece)
        await asyncio.sleep(0)
        if beginning.done() and reading is None:
            reading = asyncio.create_task(read(stream, lines))
        if reading is not None and impatience and number % impatience == 0:
            reading.cancel()
            await asyncio.wait([reading])
            reading = asyncio.create_task(read(stream, lines))
    assert await beginning == (200, None)
    await asyncio.wait([reading or asyncio.create_task(read(stream, lines))])
    assert lines == [b"one", b"two", b"three", b"four"]


async def read(stream: LineStream, lines: list[bytes]) -> None:
    while True:
        try:
            lines.append(await stream.line())
        except TransportError:
            return


async def test_line_that_only_the_end_of_the_stream_ends_is_read() -> None:
    connection, _ = connected()
    beginning = asyncio.create_task(connection.begin(b"request"))
    await asyncio.sleep(0)
    receive(connection, UNENDED_LINE)
    await beginning
    lines: list[bytes] = []
    await read(LineStream(connection, 200, None), lines)
    assert lines == [b"one", b"two"]


async def test_lost_connection_is_an_error_at_any_time() -> None:
    connection, _ = connected()
    exchange = asyncio.create_task(connection.exchange(b"request"))
    await asyncio.sleep(0)
    receive(connection, KNOWN_LENGTH[:-1])
    connection.connection_lost(None)
    with pytest.raises(TransportError, match="http://etcd closed the connection"):
        await exchange
    assert not connection.reusable


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 x\r\nContent-Length: 0\r\n\r\n"]
)
async def test_what_is_no_answer_of_an_etcd_is_an_error(answer: bytes) -> None:
    connection, _ = connected()
    exchange = asyncio.create_task(connection.exchange(b"request"))
    await asyncio.sleep(0)
    receive(connection, answer)
    with pytest.raises(TransportError, match="does not answer as an etcd does"):
        await exchange


async def test_broken_chunk_is_an_error() -> None:
    connection, _ = connected()
    exchange = asyncio.create_task(connection.exchange(b"request"))
    await asyncio.sleep(0)
    receive(connection, CHUNKED.replace(b"3\r\nhel", b"?\r\nhel"))
    with pytest.raises(TransportError, match="sent a broken chunk"):
        await exchange


async def test_connection_that_is_to_be_closed_or_has_more_to_say_is_not_used_again() -> None:
    for answer in (KNOWN_LENGTH.replace(b"Content-Type", b"Connection: close\r\nX"), KNOWN_LENGTH + b"more"):
        connection, _ = connected()
        exchange = asyncio.create_task(connection.exchange(b"request"))
        await asyncio.sleep(0)
        receive(connection, answer)
        assert (await exchange).body == b"hello"
        assert not connection.reusable


async def test_what_nobody_reads_stops_the_reading_from_the_socket() -> None:
    connection, socket = connected()
    beginning = asyncio.create_task(connection.begin(b"request"))
    await asyncio.sleep(0)
    receive(connection, LINES)
    await beginning
    receive(connection, b"x" * (HIGH_WATER_BYTES + 1))
    assert socket.paused
