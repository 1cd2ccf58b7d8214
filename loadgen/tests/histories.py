"""Histories for tests: valid ones at random, and faults to plant in them."""

import itertools
from typing import Literal

from hypothesis import strategies as st

from loadgen.history import Operation

Kind = Literal["create", "read", "update", "delete"]
STATUS = {"create": 201, "read": 200, "update": 200, "delete": 200}


def operation(
    kind: Kind,
    start_ns: int,
    end_ns: int,
    count: int | None = None,
    *,
    client: int = 1,
    status: int | None = 0,
    epoch: str = "",
    document: str = "apple",
) -> Operation:
    """An operation that succeeded, unless a status is given (None: no answer)."""
    return Operation(
        document=document,
        kind=kind,
        client=client,
        start_ns=start_ns,
        end_ns=end_ns,
        status=STATUS[kind] if status == 0 else status,
        change_count=count,
        epoch=epoch,
    )


@st.composite
def valid_histories(
    draw: st.DrawFn, *, most: int = 40, clients: int = 4, epochs: bool = True, settled: bool = False
) -> list[Operation]:
    """A history as a correct service makes it, each operation applied at a moment between start and end.

    Each client sends one request after another. If `settled`, all are answered, and a final read follows.
    """
    free_at_ns = [2] * clients
    history = [operation("create", 0, 1, 0, client=0, epoch="1")]
    moment_ns, count, epoch, is_there = 2, 0, 1, True
    kinds: list[Kind] = ["read", "read", "update", "update", "update"]
    if epochs:
        kinds.append("delete")
    kinds_without: list[Kind] = ["read", "create"]
    for _ in range(draw(st.integers(0, most))):
        moment_ns += draw(st.integers(1, 5))
        client = draw(st.integers(0, clients - 1))
        start_ns = max(free_at_ns[client], moment_ns - draw(st.integers(0, 20)))
        moment_ns = max(moment_ns, start_ns)
        end_ns = moment_ns + draw(st.integers(0, 20))
        free_at_ns[client] = end_ns + 1
        kind: Kind = draw(st.sampled_from(kinds if is_there else kinds_without))
        is_answered = kind == "read" or settled or draw(st.integers(0, 9)) > 0
        is_applied = is_answered or draw(st.booleans())
        if is_applied:
            if kind == "update":
                count += 1
            elif kind == "create":
                count, epoch, is_there = 0, epoch + 1, True
            elif kind == "delete":
                is_there = False
        if not is_answered:
            status = draw(st.sampled_from([None, 503]))
            history.append(operation(kind, start_ns, end_ns, client=client, status=status))
        elif kind == "read" and not is_there:
            history.append(operation(kind, start_ns, end_ns, client=client, status=404))
        else:
            shown = None if kind == "delete" else count
            history.append(operation(kind, start_ns, end_ns, shown, client=client, epoch=str(epoch)))
    if settled:
        start_ns = max(itertools.chain(free_at_ns, [moment_ns])) + 1
        history.append(operation("read", start_ns, start_ns + 1, count, client=0, epoch=str(epoch)))
    return history


_STEPS = st.integers(0, 12)


@st.composite
def any_histories(draw: st.DrawFn, *, epochs: tuple[str, ...] = ("1",), most: int = 6) -> list[Operation]:
    """Small histories that are right or wrong, of clients that each send one request after another."""
    history = []
    free_at_ns = [0, 0, 0]
    if len(epochs) == 1:
        history.append(operation("create", 0, 1, 0, client=9, epoch=epochs[0]))
    for _ in range(draw(st.integers(1, most))):
        client = draw(st.integers(0, 2))
        start_ns = free_at_ns[client] + draw(st.integers(0, 4))
        end_ns = start_ns + draw(_STEPS)
        free_at_ns[client] = end_ns + 1
        kinds: list[Kind] = ["read", "read", "update", "update", "delete"]
        if len(epochs) > 1:
            kinds += ["create", "create", "delete"]
        kind = draw(st.sampled_from(kinds))
        status = draw(st.sampled_from([0, 0, 0, 404 if kind == "read" else None]))
        count = draw(st.integers(0, 3)) if kind in ("read", "update") else 0
        is_shown = kind != "delete" and status == 0
        epoch = draw(st.sampled_from(epochs)) if status == 0 else ""
        history.append(
            operation(
                kind,
                start_ns,
                end_ns,
                count if is_shown else None,
                client=client,
                status=status,
                epoch=epoch,
            )
        )
    return history
