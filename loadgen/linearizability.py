"""Whether a history is linearizable, in one pass: each acknowledged change says which one it is.

A history is linearizable if each operation can be given one moment between its start and its end such that
the documents, changed in this order, give the same answers. In general that is a search. Here `change_count`
numbers the versions of a document. So the order of the writes is known, and only their moments are sought:

- The write that makes version v happens after its start and after the start of each read of version v - 1,
  and before its end and before the end of each read of version v.
- The moments exist if no such earliest moment is later than a latest moment of the same or a later version.
- A version that nobody was acknowledged for is due to a write of unknown outcome that began before the latest
  moment. Versions that are due earlier take the writes that began earlier.

An epoch of a document, from its creation to its deletion, is checked in this way. The epochs of one document
must fit one after another; their order is that of Gibbons and Korach's zones ("Testing shared memories", SIAM
Journal on Computing 26(4), 1997). The verdict is exact, but where two epochs overlap so far that either could
be the first: there it is lenient, so that it never rejects a history that is right.

Reads can be held to less, to what a cluster promises each session: a read never shows a version before its
write began, and what a client reads never goes back behind what it has read or written before.
"""

import bisect
import enum
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from loadgen.history import HistoryError, Operation


class Reads(enum.Enum):
    """What reads are held to."""

    LINEARIZABLE = "linearizable"
    SESSION = "session"


class Fault(enum.Enum):
    """What is wrong with a history."""

    LOST_UPDATE = "lost update"
    UNEXPLAINED_CHANGE = "unexplained change"
    """For instance an update that was applied twice, or one that was applied although it was refused."""
    STALE_READ = "stale read"
    READ_OF_THE_FUTURE = "read of the future"
    WRONG_ORDER = "wrong order"
    SESSION = "read behind the client's own session"
    WRONG_EPOCH = "wrong epoch"


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a document's history is not linearizable."""

    document: str
    fault: Fault
    sentence: str
    operations: tuple[Operation, ...]
    """The counterexample: operations that can't all be right."""

    def __str__(self) -> str:
        lines = (f"  {operation}" for operation in self.operations)
        return "\n".join([f"document {self.document}: {self.fault.value}: {self.sentence}", *lines])


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check."""

    operations: int
    documents: int
    unknown: int
    """Writes that may or may not have been applied."""
    reads: Reads
    violations: tuple[Violation, ...]
    """The first one of each document that has any."""

    @property
    def is_linearizable(self) -> bool:
        """Whether there is no violation."""
        return not self.violations

    def __str__(self) -> str:
        answer = "yes" if self.is_linearizable else "no"
        scope = " (writes; reads per session)" if self.reads is Reads.SESSION else ""
        return f"linearizable: {answer}, {self.operations:,} operations{scope}"


def check(operations: Iterable[Operation], reads: Reads = Reads.LINEARIZABLE) -> Verdict:
    """The verdict on a history.

    Raises:
        HistoryError: with `Reads.SESSION`, a client has two operations at the same time.
    """
    checker = Checker(reads)
    for operation in operations:
        checker.add(operation)
    return checker.verdict()


class Checker:
    """Takes a history operation by operation, in any order; for sessions in the order of each client.

    It keeps the writes, and of the reads of a version the two that matter.
    """

    def __init__(self, reads: Reads = Reads.LINEARIZABLE) -> None:
        self._reads = reads
        self._documents: dict[str, _Document] = {}
        self._operations = 0
        self._ends_ns: dict[int, int] = {}

    def add(self, operation: Operation) -> None:
        """Take one more operation.

        Raises:
            HistoryError: sessions are checked, and the client's previous operation had not ended.
        """
        self._operations += 1
        if self._reads is Reads.SESSION:
            if operation.start_ns < self._ends_ns.get(operation.client, operation.start_ns):
                raise HistoryError(f"client {operation.client} has two operations at the same time")
            self._ends_ns[operation.client] = operation.end_ns
        document = self._documents.get(operation.document)
        if document is None:
            document = self._documents[operation.document] = _Document(self._reads)
        document.add(operation)

    def verdict(self) -> Verdict:
        """The verdict on all operations so far. Call it once, at the end."""
        violations = (
            Violation(name, *finding)
            for name, document in self._documents.items()
            if (finding := document.finding()) is not None
        )
        return Verdict(
            operations=self._operations,
            documents=len(self._documents),
            unknown=sum(document.unknown for document in self._documents.values()),
            reads=self._reads,
            violations=tuple(violations),
        )


_Finding = tuple[Fault, str, tuple[Operation, ...]]
_NEVER = -math.inf
_ALWAYS = math.inf


class _Version:
    """One version of a document: the write that made it, and the reads that bound when it was there."""

    __slots__ = ("first_ended", "last_started", "write")

    def __init__(self) -> None:
        self.write: Operation | None = None
        self.first_ended: Operation | None = None
        self.last_started: Operation | None = None

    def add_read(self, read: Operation) -> None:
        if self.first_ended is None or read.end_ns < self.first_ended.end_ns:
            self.first_ended = read
        if self.last_started is None or read.start_ns > self.last_started.start_ns:
            self.last_started = read


@dataclass(slots=True)
class _Step:
    """A write between two versions: not before `earliest` began, not after `latest` ended."""

    kind: str
    count: int
    write: Operation | None
    earliest: Operation | None = None
    latest: Operation | None = None
    earliest_ns: float = -math.inf
    latest_ns: float = math.inf

    def __post_init__(self) -> None:
        if self.write is not None:
            self.earliest = self.latest = self.write
            self.earliest_ns, self.latest_ns = self.write.start_ns, self.write.end_ns

    def not_before(self, operation: Operation) -> None:
        if operation.start_ns > self.earliest_ns:
            self.earliest, self.earliest_ns = operation, operation.start_ns

    def not_after(self, operation: Operation) -> None:
        if operation.end_ns < self.latest_ns:
            self.latest, self.latest_ns = operation, operation.end_ns

    @property
    def name(self) -> str:
        return f"change {self.count}" if self.kind == "update" else f"the {_NOUNS[self.kind]}"


_NOUNS = {"create": "creation", "delete": "deletion"}


@dataclass(slots=True)
class _Epoch:
    """One life of a document."""

    name: str
    versions: dict[int, _Version] = field(default_factory=dict)
    creation: Operation | None = None
    deletion: Operation | None = None
    first_absence: Operation | None = None
    """The read that ended first of those that found nothing where only this epoch's deletion explains it."""
    steps: list[_Step] = field(default_factory=list)
    earliest_end_ns: float = _NEVER
    """When all its steps have happened, at the earliest."""
    latest_begin_ns: float = _ALWAYS

    def version(self, count: int) -> _Version:
        version = self.versions.get(count)
        if version is None:
            version = self.versions[count] = _Version()
        return version

    def must_precede(self, other: "_Epoch") -> bool:
        return self.latest_begin_ns < other.earliest_end_ns

    @property
    def order(self) -> tuple[float, bool]:
        is_flexible = self.earliest_end_ns <= self.latest_begin_ns
        return max(self.earliest_end_ns, self.latest_begin_ns), is_flexible


class _Document:
    """The history of one document."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._epochs: dict[str, _Epoch] = {}
        self._unknown: dict[str, list[Operation]] = {"create": [], "update": [], "delete": []}
        self._absences: list[Operation] = []
        self._sessions: dict[int, tuple[Operation, bool]] = {}
        """What each client saw last of the document, and whether it was gone afterwards."""
        self._epoch_changes: list[tuple[Operation, Operation]] = []
        self._finding: _Finding | None = None

    @property
    def unknown(self) -> int:
        return sum(map(len, self._unknown.values()))

    def add(self, operation: Operation) -> None:
        if not operation.is_acknowledged:
            if operation.is_unknown:
                self._unknown[operation.kind].append(operation)
            return
        if operation.status == 404:
            self._add_absence(operation)
            return
        epoch = self._epochs.get(operation.epoch)
        if epoch is None:
            epoch = self._epochs[operation.epoch] = _Epoch(operation.epoch)
        if self._reads is Reads.SESSION:
            self._follow_session(operation)
        if operation.kind == "read":
            epoch.version(operation.change_count or 0).add_read(operation)
        elif operation.kind == "update":
            self._add_update(epoch, operation)
        elif operation.kind == "create":
            self._add_creation(epoch, operation)
        elif epoch.deletion is None:
            epoch.deletion = operation
        else:
            self._find(Fault.LOST_UPDATE, "it was deleted twice", epoch.deletion, operation)

    def _add_update(self, epoch: _Epoch, update: Operation) -> None:
        version = epoch.version(update.change_count or 0)
        if version.write is not None:
            sentence = f"two clients were told that theirs is change {update.change_count}"
            self._find(Fault.LOST_UPDATE, sentence, version.write, update)
        version.write = update

    def _add_creation(self, epoch: _Epoch, creation: Operation) -> None:
        if epoch.creation is not None:
            self._find(Fault.WRONG_EPOCH, "it was made twice in one epoch", epoch.creation, creation)
        epoch.creation = creation

    def _add_absence(self, absence: Operation) -> None:
        if self._reads is Reads.LINEARIZABLE:
            self._absences.append(absence)
        elif absence.client in self._sessions:
            seen, _ = self._sessions[absence.client]
            self._sessions[absence.client] = seen, True
            epoch = self._epochs[seen.epoch]
            if epoch.first_absence is None or absence.end_ns < epoch.first_absence.end_ns:
                epoch.first_absence = absence

    def _follow_session(self, operation: Operation) -> None:
        seen, was_gone = self._sessions.get(operation.client, (operation, False))
        if seen.epoch != operation.epoch:
            self._epoch_changes.append((seen, operation))
        elif was_gone:
            self._find(Fault.SESSION, "its client already knew that it was deleted", seen, operation)
        elif operation.kind == "read" and (operation.change_count or 0) < (seen.change_count or 0):
            sentence = f"its client already knew change {seen.change_count}"
            self._find(Fault.SESSION, sentence, seen, operation)
        self._sessions[operation.client] = operation, operation.kind == "delete"

    def _find(self, fault: Fault, sentence: str, *operations: Operation) -> None:
        if self._finding is None:
            self._finding = fault, sentence, operations

    def finding(self) -> _Finding | None:
        """What is wrong with the history; None if nothing is."""
        for epoch in self._epochs.values():
            self._number_steps(epoch)
        if self._finding is not None:
            return self._finding
        epochs = sorted(self._epochs.values(), key=lambda epoch: epoch.order)
        self._place_absences(epochs)
        self._drop_needless_deletion(epochs)
        return (
            next(filter(None, (_misplaced_step(epoch.steps) for epoch in epochs)), None)
            or (
                _misplaced_step([step for epoch in epochs for step in epoch.steps])
                if len(epochs) > 1
                else None
            )
            or self._misplaced_session()
            or self._missing_write(epochs)
        )

    def _number_steps(self, epoch: _Epoch) -> None:
        """Lay out the steps of an epoch, from the creation to a deletion that may prove to be needless."""
        creation = epoch.creation
        base = 0 if creation is None else creation.change_count or 0
        counts = sorted(epoch.versions)
        if counts and counts[0] <= base and self._is_before_creation(epoch, base, counts[0]):
            return
        last = max(base, counts[-1]) if counts else base
        if last - base > len(epoch.versions) + len(self._unknown["update"]):
            operations = _witnesses(epoch.versions[last])
            sentence = f"there are more changes than updates that could have made them, up to change {last}"
            self._find(Fault.UNEXPLAINED_CHANGE, sentence, *operations)
            return
        is_linearizable = self._reads is Reads.LINEARIZABLE
        steps = epoch.steps
        read: Operation | None = None
        for count in range(base, last + 1):
            version = epoch.versions.get(count) or _Version()
            write = creation if count == base else version.write
            step = _Step("create" if count == base else "update", count, write)
            if read is not None:
                step.not_before(read)
            if version.first_ended is not None:
                step.not_after(version.first_ended)
            steps.append(step)
            read = version.last_started if is_linearizable else None
        deletion = _Step("delete", last, epoch.deletion)
        if read is not None:
            deletion.not_before(read)
        if epoch.first_absence is not None:
            deletion.not_after(epoch.first_absence)
        steps.append(deletion)
        epoch.earliest_end_ns = max(step.earliest_ns for step in steps)
        epoch.latest_begin_ns = min(step.latest_ns for step in steps)

    def _is_before_creation(self, epoch: _Epoch, base: int, count: int) -> bool:
        version = epoch.versions[count]
        if count < base:
            fault = Fault.UNEXPLAINED_CHANGE
            sentence = f"change {count} is seen in an epoch that begins with {base}"
        elif version.write is not None:
            fault = Fault.LOST_UPDATE
            sentence = f"an update was acknowledged with the change_count {base} of the creation"
        else:
            return False
        creation = () if epoch.creation is None else (epoch.creation,)
        self._find(fault, sentence, *creation, *_witnesses(version))
        return True

    def _place_absences(self, epochs: Sequence[_Epoch]) -> None:
        """Put each read that found nothing before the first epoch that it can't be after."""
        begins_ns = [epoch.latest_begin_ns for epoch in epochs]
        for index in reversed(range(len(begins_ns) - 1)):
            begins_ns[index] = min(begins_ns[index], begins_ns[index + 1])
        for absence in self._absences:
            gap = bisect.bisect_left(begins_ns, absence.start_ns)
            if gap > 0:
                epoch = epochs[gap - 1]
                epoch.steps[-1].not_after(absence)
                if epoch.first_absence is None:
                    epoch.first_absence = absence
            if gap < len(epochs):
                epochs[gap].steps[0].not_before(absence)

    def _drop_needless_deletion(self, epochs: Sequence[_Epoch]) -> None:
        """One epoch may go on to the end: the last one that need not precede another."""
        last_end_ns = _NEVER
        for epoch in reversed(epochs):
            is_last = epoch.latest_begin_ns >= last_end_ns
            last_end_ns = max(last_end_ns, epoch.earliest_end_ns)
            if is_last and epoch.deletion is None and epoch.first_absence is None:
                epoch.steps.pop()
                return

    def _misplaced_session(self) -> _Finding | None:
        for seen, operation in self._epoch_changes:
            before, after = self._epochs[seen.epoch], self._epochs[operation.epoch]
            if after.must_precede(before) and not before.must_precede(after):
                return Fault.SESSION, "its client already knew a later epoch", (seen, operation)
        return None

    def _missing_write(self, epochs: Sequence[_Epoch]) -> _Finding | None:
        """A step without an acknowledged write for which no write of unknown outcome is left."""
        missing = sorted(_unacknowledged(epochs), key=lambda deadline: deadline[0])
        for kind, writes in self._unknown.items():
            left = iter(sorted(writes, key=lambda write: write.start_ns))
            for deadline_ns, step, latest in missing:
                if step.kind != kind:
                    continue
                write = next(left, None)
                if write is None or write.start_ns > deadline_ns:
                    operations = tuple(each for each in (latest, write) if each is not None)
                    return Fault.UNEXPLAINED_CHANGE, f"{step.name} is not due to any request", operations
        return None


def _witnesses(version: _Version) -> Iterator[Operation]:
    return (each for each in (version.write, version.first_ended) if each is not None)


def _misplaced_step(steps: Sequence[_Step]) -> _Finding | None:
    """A step that must have happened before an earlier one can have."""
    pair = _first_misplaced(steps)
    if pair is None:
        return None
    # One read of the future makes right reads look stale, so it is looked for first.
    writes = [_Step(step.kind, step.count, step.write) for step in steps]
    for write, step in zip(writes, steps, strict=True):
        if step.latest is not None:
            write.not_after(step.latest)
    return _explain(*(_first_misplaced(writes) or pair))


def _first_misplaced(steps: Iterable[_Step]) -> tuple[_Step, _Step] | None:
    first: _Step | None = None
    for step in steps:
        if first is None or step.earliest_ns > first.earliest_ns:
            first = step
        if first.earliest_ns > step.latest_ns:
            return first, step
    return None


def _explain(first: _Step, later: _Step) -> _Finding:
    """`first` is a step that can't have happened until after `later`, which is the same or follows it."""
    began, ended = first.earliest, later.latest
    operations = tuple(each for each in (ended, began) if each is not None)
    if began is not first.write:
        sentence = f"it began after {later.name} had been seen or acknowledged, and shows the version before"
        return Fault.STALE_READ, sentence, operations
    if ended is not later.write:
        sentence = f"it ended before the request for {first.name} was sent, and shows the version after"
        return Fault.READ_OF_THE_FUTURE, sentence, operations
    sentence = f"{later.name} was acknowledged before the request for {first.name} was sent"
    return Fault.WRONG_ORDER, sentence, operations


def _unacknowledged(epochs: Sequence[_Epoch]) -> Iterator[tuple[float, _Step, Operation | None]]:
    """The steps without an acknowledged write, when they happened at the latest, and what proves that."""
    deadline_ns, proof = _ALWAYS, None
    first_end_ns = _ALWAYS
    for epoch in reversed(epochs):
        if first_end_ns <= epoch.latest_begin_ns:
            # One of the later epochs may have been before this one.
            deadline_ns, proof = _ALWAYS, None
        first_end_ns = min(first_end_ns, epoch.earliest_end_ns)
        for step in reversed(epoch.steps):
            if step.latest_ns < deadline_ns:
                deadline_ns, proof = step.latest_ns, step.latest
            if step.write is None:
                yield deadline_ns, step, proof
