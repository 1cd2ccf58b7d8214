"""Design functions for the tests, one for each thing that such a function can do."""

import contextlib
from collections.abc import Iterator
from os import system  # not reachable through this module, which the tests of the loader check
from typing import Any

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
    """Emit what ``doc["kind"]`` names: values that are no JSON, and one that is."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    values = {
        "nan": float("nan"),
        "infinity": {"a": [float("inf")]},
        "surrogate": "\ud800",
        "surrogate key": {"\ud800": 1},
        "deep": deep,
        "huge": 10**5000,
        "object": object(),
        "fine": [1.5, None, "é", 10**30],
    }
    yield "early", None
    yield doc["kind"], values[doc["kind"]]


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
