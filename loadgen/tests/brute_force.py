"""Linearizability by search: tries every order of a small history of one document."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from loadgen.history import Operation
from loadgen.linearizability import Reads


@dataclass(frozen=True)
class State:
    """The document: its epoch (None: there is none; "?": not known yet), its count, the epochs so far."""

    epoch: str | None = None
    count: int = 0
    used: frozenset[str] = frozenset()


def is_linearizable(history: Sequence[Operation], reads: Reads) -> bool:
    """Whether the operations can be put in an order that explains all answers."""
    history = [operation for operation in history if operation.is_acknowledged or operation.is_unknown]
    if reads is Reads.LINEARIZABLE:
        return _search(history, State(), frozenset(), set())
    writes = [operation for operation in history if operation.is_write]
    return any(_reads_fit(history, order) for order in _orders(writes, State(), [], frozenset()))


def _end_ns(operation: Operation) -> float:
    return operation.end_ns if operation.is_acknowledged else float("inf")


def _next(history: Sequence[Operation], done: frozenset[int]) -> Iterator[int]:
    left = [index for index in range(len(history)) if index not in done]
    first_end_ns = min((_end_ns(history[index]) for index in left), default=0)
    return (index for index in left if history[index].start_ns <= first_end_ns)


def _is_complete(history: Sequence[Operation], done: frozenset[int]) -> bool:
    return all(index in done or not each.is_acknowledged for index, each in enumerate(history))


def _search(
    history: Sequence[Operation],
    state: State,
    done: frozenset[int],
    dead_ends: set[tuple[State, frozenset[int]]],
) -> bool:
    if _is_complete(history, done):
        return True
    if (state, done) in dead_ends:
        return False
    for index in _next(history, done):
        after = _apply(history[index], state)
        if after is not None and _search(history, after, done | {index}, dead_ends):
            return True
    dead_ends.add((state, done))
    return False


def _apply(operation: Operation, state: State) -> State | None:
    """The state after the operation; None if it can't happen then."""
    if operation.kind == "create":
        if state.epoch is not None or (operation.is_acknowledged and operation.epoch in state.used):
            return None
        if not operation.is_acknowledged:
            return replace(state, epoch="?", count=0)
        return State(operation.epoch, operation.change_count or 0, state.used | {operation.epoch})
    if operation.kind == "read" and operation.status == 404:
        return state if state.epoch is None else None
    if state.epoch is None:
        return None
    count = state.count + (operation.kind == "update")
    if operation.is_acknowledged:
        if state.epoch == "?" and operation.epoch not in state.used:
            state = replace(state, epoch=operation.epoch, used=state.used | {operation.epoch})
        if state.epoch != operation.epoch or (operation.kind != "delete" and operation.change_count != count):
            return None
    return replace(state, epoch=None if operation.kind == "delete" else state.epoch, count=count)


Order = list[tuple[State, float]]


def _orders(writes: Sequence[Operation], state: State, order: Order, done: frozenset[int]) -> Iterator[Order]:
    """All orders of the writes: the states, and since when each can have been there at the earliest."""
    since_ns = order[-1][1] if order else float("-inf")
    if not order:
        order = [(state, since_ns)]
    if _is_complete(writes, done):
        yield order
    for index in _next(writes, done):
        after = _apply(writes[index], state)
        if after is not None:
            begins_ns = max(since_ns, writes[index].start_ns)
            yield from _orders(writes, after, [*order, (after, begins_ns)], done | {index})


def _reads_fit(history: Sequence[Operation], order: Order) -> bool:
    """Whether each client can have read forwards only, and no state before it can have been there.

    For histories of one epoch whose writes name it.
    """
    positions: dict[int, int] = {}
    for operation in sorted(history, key=lambda each: (each.start_ns, each.end_ns)):
        if not operation.is_acknowledged:
            continue
        least = positions.get(operation.client, 0)
        fitting = [
            index
            for index in range(least, len(order))
            if _shows(operation, order[index][0])
            and (index > 0 or not operation.is_write)
            and order[index][1] <= operation.end_ns
        ]
        if not fitting:
            return False
        positions[operation.client] = fitting[0]
    return True


def _shows(operation: Operation, state: State) -> bool:
    """Whether a client that got this answer saw the state; a deletion shows that there is none."""
    if operation.kind == "delete" or operation.status == 404:
        return state.epoch is None
    return state.epoch == operation.epoch and state.count == operation.change_count
