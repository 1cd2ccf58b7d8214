"""Design functions for the tests, one for each thing that such a function can do."""

import contextlib
import dataclasses
import datetime
import enum
import uuid
from array import array
from collections import UserDict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from os import system  # not reachable through this module, which the tests of the loader check
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import msgspec

from couch_named_python import (
    FatalError,
    Forbidden,
    NotFoundError,
    QueryServerError,
    Redirect,
    Unauthorized,
    emit,
    get_row,
    log,
    send,
    start,
    version,
)

Document = dict[str, Any]


class Shade(enum.Enum):
    DARK = "dark"


class Color(str, enum.Enum):  # noqa: UP042 -- its str() is "Color.RED", unlike a StrEnum's
    RED = "red"


class Fruit(msgspec.Struct):
    color: str = "red"


@dataclasses.dataclass
class Vegetable:
    color: str = "green"


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


NO_JSON: dict[str, Callable[[], Any]] = {
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "minus infinity": lambda: float("-inf"),
    "surrogate": lambda: "\ud800",
    "surrogate key": lambda: {"\ud800": 1},
    "deep": deep,
    "huge integer": lambda: 10**5000,
    "set": lambda: {1, 2},
    "empty set": set,
    "frozenset": lambda: frozenset("ab"),
    "bytes": lambda: b"a",
    "bytearray": lambda: bytearray(b"a"),
    "memoryview": lambda: memoryview(b"a"),
    "Decimal": lambda: Decimal("1.5"),
    "Fraction": lambda: Fraction(1, 2),
    "complex": lambda: 1j,
    "datetime": lambda: datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC),
    "date": lambda: datetime.date(2026, 11, 26),
    "time": lambda: datetime.time(10),
    "timedelta": lambda: datetime.timedelta(1),
    "UUID": lambda: uuid.UUID(int=1),
    "path": lambda: PurePosixPath("a"),
    "Enum": lambda: Shade.DARK,
    "Struct": Fruit,
    "dataclass": Vegetable,
    "msgspec.Raw": lambda: msgspec.Raw(b"1"),
    "msgspec.UNSET": lambda: msgspec.UNSET,
    "object": object,
    "class": lambda: int,
    "function": lambda: deep,
    "ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "range": lambda: range(2),
    "iterator": lambda: iter([1]),
    "generator": lambda: (member for member in [1]),
    "dict view": lambda: {"a": 1}.keys(),
    "deque": lambda: deque([1]),
    "array": lambda: array("i", [1]),
    "mapping proxy": lambda: MappingProxyType({"a": 1}),
    "UserDict": lambda: UserDict(a=1),
    "integer key": lambda: {1: 2},
    "boolean key": lambda: {True: 1},
    "null key": lambda: {None: 1},
    "float key": lambda: {1.5: 1},
    "tuple key": lambda: {(1, 2): 1},
    "bytes key": lambda: {b"a": 1},
    "date key": lambda: {datetime.date(2026, 11, 26): 1},
    "UUID key": lambda: {uuid.UUID(int=1): 1},
    "Decimal key": lambda: {Decimal(1): 1},
    "Enum key": lambda: {Shade.DARK: 1},
}
"""What JSON has no form for, made anew each time. msgspec encodes some two dozen of these."""


def no_json(kind: str) -> Any:
    return NO_JSON[kind]()


def emit_twice(doc: Document) -> None:
    emit("foo", doc["a"])
    emit("bar", doc["a"])


def emit_once(doc: Document) -> None:
    emit("baz", doc["a"])


def key_alone(doc: Document) -> Iterator[Any]:
    yield doc["town"]
    yield [doc["town"], 1]


@version(123)
def townmap(doc: Document) -> Iterator[tuple[Any, Any]]:
    yield doc["town"], None


def spoil(doc: Document) -> Iterator[tuple[Any, Any]]:
    doc["a"] = "spoilt"
    doc["tags"].append("spoilt")
    yield doc["a"], None


def tags(doc: Document) -> Iterator[tuple[Any, Any]]:
    yield doc["a"], doc["tags"]


def value(doc: Document) -> Iterator[tuple[Any, Any]]:
    """Yield a value that JSON has no form for, or one that it has."""
    yield "early", None
    yield doc["kind"], {"in": [no_json(doc["kind"])]} if doc["kind"] != "fine" else [1.5, None, "é", 10**30]


def value_as_key(doc: Document) -> Iterator[tuple[Any, Any]]:
    yield no_json(doc["kind"]), None


def value_in_a_set(doc: Document) -> None:
    emit(set(doc["tags"]))


def three_values(doc: Document) -> Iterator[Any]:
    yield 1, 2, 3


def returns_a_list(doc: Document) -> list[Any]:
    return [("a", 1)]


def prints(doc: Document) -> Iterator[tuple[Any, Any]]:
    print("printed", doc["a"])  # noqa: T201 -- what this function is for
    print("unfinished", end="")  # noqa: T201 -- the same
    system("echo from a program")  # noqa: S605, S607 -- the same
    input_line = None
    try:
        input_line = input()
    except EOFError:
        log("no input")
    yield input_line, None


def exits(doc: Document) -> Iterator[tuple[Any, Any]]:
    yield 1, None
    raise SystemExit(3)


def fatal(doc: Document) -> Iterator[tuple[Any, Any]]:
    raise FatalError("error_key", "testing")
    yield 1, None


def never_returns(doc: Document) -> Iterator[tuple[Any, Any]]:
    while doc.get("loop"):
        with contextlib.suppress(Exception):  # an interruption must get through this
            pass
    yield 1, None


def swallows_the_interruption(doc: Document) -> Iterator[tuple[Any, Any]]:
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001, S110 -- an interruption does not get through this
            pass
    yield 1, None


def values_length(keys: Any, values: list[Any], rereduce: bool) -> int:
    return len(values)


def values_sum(keys: Any, values: list[Any], rereduce: bool) -> int:
    return sum(values)


def keys_and_values(keys: Any, values: list[Any], rereduce: bool) -> list[Any]:
    return [keys, values, rereduce]


def spoil_values(keys: Any, values: list[Any], rereduce: bool) -> None:
    values.clear()


def nan_reduce(keys: Any, values: list[Any], rereduce: bool) -> float:
    return float("nan")


def value_reduce(keys: Any, values: list[Any], rereduce: bool) -> Any:
    return [no_json(values[0])]


def show_value(doc: Document, req: Document) -> Any:
    return {"headers": {"X-A": no_json(req["kind"])}}


def show_starts_value(doc: Document, req: Document) -> None:
    start({"headers": {"X-A": no_json(req["kind"])}})


def show_starts_number(doc: Document, req: Document) -> None:
    start(3)  # type: ignore[arg-type]  # what this function is for


def show_sends_value(doc: Document, req: Document) -> None:
    send(no_json(req["kind"]))


def list_starts_value(head: Document, req: Document) -> str:
    start({"headers": {"X-A": no_json(req["kind"])}})
    return "tail"


def list_sends_value(head: Document, req: Document) -> str:
    send(no_json(req["kind"]))
    return "tail"


def list_returns_value(head: Document, req: Document) -> Any:
    return no_json(req["kind"])


def list_yields_value(head: Document, req: Document, rows: Iterator[Document]) -> Iterator[Any]:
    yield no_json(req["kind"])


def list_numbers(head: Document, req: Document) -> int:
    send(1.5)  # type: ignore[arg-type]  # as functions do that send a row's key
    send(Color.RED)
    return 3


def update_document_value(doc: Document, req: Document) -> Any:
    return {"a": no_json(req["kind"])}, "done"


def update_response_value(doc: Document, req: Document) -> Any:
    return None, {"json": no_json(req["kind"])}


def update_returns_number(doc: Document, req: Document) -> Any:
    return 3, "done"


def filter_value(doc: Document, req: Document) -> Any:
    return no_json(req["kind"])


def filter_truth(doc: Document, req: Document) -> Any:
    return doc["truth"]


async def filter_async(doc: Document, req: Document) -> bool:
    return False


def validate_returns(new: Document, old: Document, user: Document, security: Document) -> Any:
    return Forbidden("not raised") if new["returns"] == "forbidden" else new["returns"]


async def validate_async(new: Document, old: Document, user: Document, security: Document) -> None:
    raise Forbidden("never reached")


def validate_generator(
    new: Document, old: Document, user: Document, security: Document
) -> Iterator[tuple[Any, Any]]:
    yield 1, 2
    raise Forbidden("never reached")


def rewrite_value(req: Document) -> Any:
    return {"path": "x", "query": no_json(req["kind"])}


def rewrite_number(req: Document) -> Any:
    return 3


def validate_forbidden(new: Document, old: Document, user: Document, *_security: Document) -> None:
    if new.get("bad"):
        raise Forbidden("bad doc")
    if new.get("anonymous"):
        raise Unauthorized("who are you?")
    if new.get("broken"):
        raise KeyError("broken")


def show_simple(doc: Document, req: Document) -> str:
    log("ok")
    return f"{doc['title']} - {doc['body']}"


def show_headers(doc: Document, req: Document) -> Document:
    return {"code": 200, "headers": {"X-Plankton": "Rusty"}, "body": f"{doc['title']} - {doc['body']}"}


def show_sends(doc: Document, req: Document) -> Document:
    start({"code": 201, "headers": {"X-A": "started"}})
    send("first, ")
    send("second, ")
    return {"headers": {"X-A": "returned", "X-B": "b"}, "body": "tail"}


def show_nothing(doc: Document, req: Document) -> None:
    return None


def show_number(doc: Document, req: Document) -> int:
    return 3


def show_error(doc: Document, req: Document) -> None:
    raise QueryServerError("error_key", "testing")


def show_fatal(doc: Document, req: Document) -> None:
    raise FatalError("error_key", "testing")


def show_broken(doc: Document, req: Document) -> None:
    raise KeyError("broken")


def show_not_found(doc: Document, req: Document) -> None:
    raise NotFoundError


def show_redirect(doc: Document, req: Document) -> None:
    send("discarded")
    raise Redirect("/there", permanent=bool(req.get("permanent")))


def show_emits(doc: Document, req: Document) -> None:
    emit(1, 2)


def show_rows(doc: Document, req: Document) -> None:
    get_row()


def filter_good(doc: Document, req: Document) -> Any:
    return doc.get("good")


def filter_broken(doc: Document, req: Document) -> Any:
    return doc["missing"]


def update_basic(doc: Document, req: Document) -> Any:
    doc["world"] = "hello"
    return [doc, "hello doc"]


def update_nothing(doc: Document, req: Document) -> Any:
    return None, {"code": 202}


def update_wrong(doc: Document, req: Document) -> Any:
    return doc


def rewrite_basic(req: Document) -> str:
    return "new/location"


def rewrite_object(req: Document) -> Document:
    return {"path": "x", "code": 301}


def rewrite_no_rule(req: Document) -> None:
    return None


def rewrite_forbidden(req: Document) -> None:
    raise Forbidden("not there")


def list_simple(head: Document, req: Document) -> str:
    send("first chunk")
    send(req["q"])
    while (row := get_row()) is not None:
        send(row["key"])
    return "early"


def list_headers(head: Document, req: Document) -> str:
    start({"headers": {"Content-Type": "text/plain"}})
    send("first chunk")
    send('second "chunk"')
    return "tail"


def list_rows(head: Document, req: Document) -> str:
    list_simple(head, req)
    return "tail"


def list_buffers(head: Document, req: Document) -> str:
    send("bacon")
    while (row := get_row()) is not None:
        send(row["key"])
        send("eggs")
    return "tail"


def list_chunky(head: Document, req: Document) -> str | None:
    send("first chunk")
    send(req["q"])
    for _ in range(3):
        row = get_row()
        if row is None:
            return None
        send(row["key"])
    return "early tail"


def list_swallows(head: Document, req: Document) -> str:
    for _ in range(3):
        with contextlib.suppress(Exception):
            get_row()
    return "swallowed"


def list_redirect(head: Document, req: Document) -> None:
    send("discarded")
    raise Redirect("/there")


def list_late_redirect(head: Document, req: Document) -> None:
    get_row()
    raise Redirect("/there")


def list_not_found(head: Document, req: Document) -> None:
    raise NotFoundError("no such list")


def list_generator(head: Document, req: Document, rows: Iterator[Document]) -> Iterator[Any]:
    yield {"headers": {"Content-Type": "text/csv"}}
    yield "key\n"
    for row in rows:
        yield f"{row['key']}\n"


def list_late_head(head: Document, req: Document, rows: Iterator[Document]) -> Iterator[Any]:
    for _ in rows:
        yield {"code": 404}


def show_unspeakable(doc: Document, req: Document) -> None:
    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise UnspeakableError

    raise UnspeakableError
