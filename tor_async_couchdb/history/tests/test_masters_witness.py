"""Masters that lag behind, merge, delete and crash raise no alarm; a rollback of a document does."""

import asyncio
import contextlib
import datetime
import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, cast

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tor_async_couchdb.conflicts.counts import counts_of
from tor_async_couchdb.conflicts.plan import Resolution, counts_in_tombstone, resolve
from tor_async_couchdb.errors import ConnectError, NotYetReplicatedError, TamperedError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.history.masters_witness import MastersWitness, check_witnessable
from tor_async_couchdb.history.tests.test_witness import MemoryStore
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.change_sets import FOLDED_AFTER_DAYS, ChangeNamer, ChangeSet, with_change
from tor_async_couchdb.model.properties import CountedOnce, Immutable
from tor_async_couchdb.protection import signing
from tor_async_couchdb.tests.baskets import Basket, FragileBasket
from tor_async_couchdb.tests.revision_trees import RevisionTrees, StaleRevisionError
from tor_async_couchdb.wire.revision import child

ID = "basket"


class Signer:
    def sign(self, doc: Mapping[str, Any]) -> str:
        return hashlib.sha256(b"key" + signing.signed_bytes(doc)).hexdigest()

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        return signature == self.sign(doc)


SIGNER = Signer()


class Clock:
    """The day, as all processes see it."""

    def __init__(self) -> None:
        self.day = datetime.date(2026, 11, 26)

    def today(self) -> datetime.date:
        return self.day

    def advance(self, days: int) -> None:
        self.day += datetime.timedelta(days=days)


class ListedBasket(Basket, tag="listed_basket_v1.0"):
    """Lists its changes and leaves `change_counts` empty."""

    changes: Annotated[ChangeSet, CountedOnce()] = msgspec.field(default_factory=dict)


class Master:
    """A database that accepts writes, and the witness of the service in front of it."""

    def __init__(self, name: str, store: MemoryStore, clock: Clock, model_class: type[Basket]) -> None:
        self.name = name
        self.model_class = model_class
        self.namer = ChangeNamer(clock.today)
        self.trees = RevisionTrees()
        self.witness = MastersWitness(store, SIGNER, name)

    async def fetch_leaves(self, document_id: str) -> list[Document]:
        """All leaves with their histories, as `Database.fetch_leaves` returns them."""
        return [leaf | {"_revisions": self._revisions(leaf["_rev"])} for leaf in self.trees.leaves(ID)]

    def _revisions(self, rev: str) -> dict[str, Any]:
        hashes, parent = [], cast(str | None, rev)
        while parent is not None:
            hashes.append(parent.partition("-")[2])
            parent = self.trees._parents[ID][parent]
        return {"start": int(rev.partition("-")[0]), "ids": hashes}

    def resolution(self) -> Resolution:
        return resolve(
            self.model_class, self.trees.leaves(ID), sign=lambda document: signing.sign(SIGNER, document)
        )

    def insert(self, resolution: Resolution) -> None:
        for revision in resolution.revisions:
            self.trees.insert(revision)

    async def read(self) -> Basket | None:
        while (resolution := self.resolution()).revisions:
            self.insert(resolution)
        return None if resolution.document is None else self.model_class.from_doc(resolution.document)

    def save(self, basket: Basket) -> None:
        doc = {name: value for name, value in basket.as_doc_for_store().items() if value is not None}
        self.trees.save(signing.sign(SIGNER, doc))

    def delete(self, basket: Basket) -> None:
        self.trees.save({"_id": ID, "_rev": basket.rev, "_deleted": True})

    async def check_not_rolled_back(self) -> Basket | None:
        return await self.witness.check_not_rolled_back(
            await self.read(), Sought(self.model_class, None, ID), self.read, self.fetch_leaves
        )

    async def audit(self) -> None:
        """Checks and records the document, as an auditor does."""
        basket = await self.check_not_rolled_back()
        if basket is not None:
            await self.witness.wrote(basket)

    def roll_back(self, old: Document) -> None:
        """Stores an older revision as the newest one, as an administrator of the database can do."""
        [leaf] = self.trees.live_leaves(ID)
        self.trees.save(old | {"_rev": leaf["_rev"]})


def new(model_class: type[Basket] = Basket) -> Basket:
    return model_class(id=ID, key="k", color="green", superseded={}, updated_on=0, change_counts={})


NEW = new()


def changed(basket: Basket, master: Master) -> Basket:
    after = basket.replace(
        color=f"{master.name} {basket.updated_on}", superseded={}, updated_on=basket.updated_on + 1
    )
    if isinstance(after, ListedBasket):
        return after.replace(changes=with_change(after.changes, master.namer.name(ID)))
    count = basket.change_counts.get(master.name, 0) + 1
    return after.replace(change_counts=basket.change_counts | {master.name: count})


def masters(count: int = 2, clock: Clock | None = None, model_class: type[Basket] = Basket) -> list[Master]:
    """Masters that all have a new basket; the witness of each has recorded it."""
    store, clock = MemoryStore(), clock or Clock()
    all_masters = [Master(name, store, clock, model_class) for name in ("east", "west", "north")[:count]]
    all_masters[0].save(new(model_class))
    for master in all_masters:
        master.trees.pull(all_masters[0].trees, ID)
        asyncio.run(master.audit())
    return all_masters


def change(master: Master) -> Basket:
    """A change by the service."""
    basket = asyncio.run(master.check_not_rolled_back())
    assert basket is not None
    master.save(changed(basket, master))
    basket = asyncio.run(master.read())
    assert basket is not None
    asyncio.run(master.witness.wrote(basket))
    return basket


class Mesh(RuleBasedStateMachine):
    """Without tampering no master raises an alarm, in whatever order revisions are replicated."""

    model_class = Basket

    @initialize(count=st.integers(2, 3))
    def start(self, count: int) -> None:
        self.clock = Clock()
        self.masters = masters(count, self.clock, self.model_class)
        # The second parts of actions that have begun: they run later, in any order, or never.
        self.begun: list[Callable[[], Awaitable[None]]] = []

    def later(self, step: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        self.begun.append(functools.partial(step, *arguments))

    def one(self, number: int) -> Master:
        return self.masters[number % len(self.masters)]

    def verified(self, number: int) -> tuple[Master, Basket]:
        """A master, and the document as its service reads it; a service gets no incomplete document."""
        master, basket = self.one(number), None
        with contextlib.suppress(NotYetReplicatedError):
            basket = asyncio.run(master.check_not_rolled_back())
        assume(basket is not None)
        return master, cast(Basket, basket)

    @rule(number=st.integers(0, 2))
    def begin_change(self, number: int) -> None:
        master, basket = self.verified(number)

        async def finish() -> None:
            with contextlib.suppress(StaleRevisionError):
                master.save(changed(basket, master))
                written = await master.read()
                assert written is not None
                self.later(master.witness.wrote, written)

        self.later(finish)

    @rule(number=st.integers(0, 2))
    def begin_deletion(self, number: int) -> None:
        master, basket = self.verified(number)
        asyncio.run(master.witness.deletes(basket))

        async def finish() -> None:
            with contextlib.suppress(StaleRevisionError):
                master.delete(basket)
                self.later(master.witness.deleted, basket)

        self.later(finish)

    @rule(number=st.integers(0, 2))
    def begin_to_reconcile(self, number: int) -> None:
        master = self.one(number)

        async def finish(resolution: Resolution) -> None:
            master.insert(resolution)

        self.later(finish, master.resolution())

    @precondition(lambda self: self.begun)
    @rule(index=st.integers(0, 99))
    def go_on(self, index: int) -> None:
        asyncio.run(self.begun.pop(index % len(self.begun))())  # type: ignore[arg-type]

    @rule(to=st.integers(0, 2), source=st.integers(0, 2), leaves=st.integers(1, 2**6))
    def replicate_some_leaves(self, to: int, source: int, leaves: int) -> None:
        trees = self.one(source).trees
        parents = trees._parents[ID]
        chosen: set[str] = set()
        for index, leaf in enumerate(trees.leaves(ID)):
            rev: str | None = leaf["_rev"]
            while leaves >> index % 6 & 1 and rev is not None:
                chosen.add(rev)
                rev = parents[rev]
        target = self.one(to).trees
        for rev in sorted(chosen, key=lambda rev: int(rev.partition("-")[0])):
            target._add(trees.bodies[ID][rev], parents[rev])

    @invariant()
    def no_master_raises_an_alarm(self) -> None:
        for master in getattr(self, "masters", []):
            with contextlib.suppress(NotYetReplicatedError):
                asyncio.run(master.audit())

    def teardown(self) -> None:
        """Once everything is replicated, no document is incomplete."""
        if not hasattr(self, "masters"):
            return
        for _ in range(20):
            for to in self.masters:
                for source in self.masters:
                    to.trees.pull(source.trees, ID)
        for master in self.masters:
            asyncio.run(master.audit())


class ListedMesh(Mesh):
    """The same with sets of changes, which are folded after days that no link may have outlasted."""

    model_class = ListedBasket

    @rule(days=st.sampled_from([1, 20, 40]))
    def advance_the_clock(self, days: int) -> None:
        self.clock.advance(days)


TestMesh = Mesh.TestCase
TestListedMesh = ListedMesh.TestCase
for test_case in (TestMesh, TestListedMesh):
    test_case.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
del test_case


@pytest.mark.parametrize("model_class", [Basket, ListedBasket])
@given(steps=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=12), data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_older_revision_is_trusted_where_a_newer_one_was_read(
    model_class: type[Basket], steps: list[tuple[bool, bool]], data: st.DataObject
) -> None:
    clock = Clock()
    both = masters(2, clock, model_class)
    for is_east, is_linked in steps:
        change(both[not is_east])
        clock.advance(8)
        if is_linked:
            for to, source in (both, both[::-1], both):
                to.trees.pull(source.trees, ID)
                asyncio.run(to.audit())
    victim = data.draw(st.sampled_from(both))
    now = asyncio.run(victim.check_not_rolled_back())
    assert now is not None
    current = now.as_doc_for_store()
    older = [
        body
        for body in victim.trees.bodies[ID].values()
        if "_deleted" not in body and counts_of(model_class, body) != counts_of(model_class, current)
    ]
    assume(older)
    victim.roll_back(data.draw(st.sampled_from(older)))
    with pytest.raises((TamperedError, NotYetReplicatedError)):
        asyncio.run(victim.check_not_rolled_back())


def test_rollback_on_one_master_is_an_alarm_there_and_where_it_is_replicated_to() -> None:
    east, west = masters()
    old = east.trees.live_leaves(ID)[0]
    change(east)
    west.trees.pull(east.trees, ID)
    asyncio.run(west.audit())
    west.roll_back(old)
    with pytest.raises(TamperedError):
        asyncio.run(west.check_not_rolled_back())  # although no change was made there
    east.trees.pull(west.trees, ID)
    with pytest.raises(TamperedError):
        asyncio.run(east.check_not_rolled_back())


def test_deletion_without_a_service_is_an_alarm_on_both_masters() -> None:
    east, west = masters()
    change(east)
    west.trees.pull(east.trees, ID)
    asyncio.run(west.audit())
    west.trees.save({"_id": ID, "_rev": west.trees.live_leaves(ID)[0]["_rev"], "_deleted": True})
    with pytest.raises(TamperedError):
        asyncio.run(west.check_not_rolled_back())
    assert asyncio.run(east.check_not_rolled_back()) is not None
    east.trees.pull(west.trees, ID)
    with pytest.raises(TamperedError):
        asyncio.run(east.check_not_rolled_back())


def test_changes_that_are_not_replicated_yet_are_no_alarm() -> None:
    east, west = masters()
    change(east)
    change(east)
    assert asyncio.run(west.check_not_rolled_back()) == NEW.replace(rev=west.trees.live_leaves(ID)[0]["_rev"])


def test_deletion_by_a_service_is_no_alarm_on_any_master() -> None:
    east, west = masters()
    basket = change(east)
    asyncio.run(east.witness.deletes(basket))
    east.delete(basket)
    asyncio.run(east.witness.deleted(basket))
    assert asyncio.run(east.check_not_rolled_back()) is None
    west.trees.pull(east.trees, ID)
    assert asyncio.run(west.check_not_rolled_back()) is None


def test_change_that_survives_a_deletion_on_another_master_is_covered_again() -> None:
    east, west = masters()
    basket = asyncio.run(west.check_not_rolled_back())
    assert basket is not None
    asyncio.run(west.witness.deletes(basket))
    west.delete(basket)
    change(east)
    east.trees.pull(west.trees, ID)
    living = asyncio.run(east.check_not_rolled_back())
    assert living is not None
    east.delete(living)  # not by the service, which records deletions first
    with pytest.raises(TamperedError):
        asyncio.run(east.check_not_rolled_back())


def conflicted() -> tuple[Master, Master, Document]:
    """A master that merged two changes, the master whose leaf was deleted, and the tombstone of that leaf."""
    east, west, north = masters(3)
    for master in (east, west):
        change(master)
        north.trees.pull(master.trees, ID)
    resolution = north.resolution()
    north.insert(resolution)
    tombstone = resolution.revisions[1]
    lost = tombstone["merged"]["rev"]
    [loser] = [master for master in (east, west) if master.trees.live_leaves(ID)[0]["_rev"] == lost]
    return north, loser, tombstone


def test_tombstone_that_arrives_before_the_merged_revision_is_no_alarm() -> None:
    merging, loser, tombstone = conflicted()
    loser.trees.insert(tombstone)
    with pytest.raises(NotYetReplicatedError):
        asyncio.run(loser.check_not_rolled_back())
    loser.trees.pull(merging.trees, ID)
    basket = asyncio.run(loser.check_not_rolled_back())
    assert basket is not None
    assert basket.change_counts == {"east": 1, "west": 1}


def test_tombstone_has_the_counts_of_the_leaf_that_it_replaces_and_no_other() -> None:
    _, loser, tombstone = conflicted()
    assert signing.verify(SIGNER, tombstone)
    assert counts_in_tombstone(tombstone) == {loser.name: 1}
    body = {name: value for name, value in tombstone.items() if name not in ("_rev", "_revisions")}
    assert counts_in_tombstone(child({"_id": ID, "_rev": "7-a"}, body)) is None
    for other in ({"_deleted": True, "merged": True}, {"_deleted": True}):
        assert counts_in_tombstone(child({"_id": ID, "_rev": "7-a"}, other)) is None


def test_tombstone_with_forged_counts_is_an_alarm() -> None:
    _, loser, tombstone = conflicted()
    loser.trees.insert(tombstone | {"merged": tombstone["merged"] | {"counts": {loser.name: 9}}})
    with pytest.raises(TamperedError):
        asyncio.run(loser.check_not_rolled_back())


def test_tombstone_that_was_moved_to_another_leaf_is_an_alarm() -> None:
    _, loser, tombstone = conflicted()
    body = {name: value for name, value in tombstone.items() if name not in ("_rev", "_revisions")}
    change(loser)
    [leaf] = loser.trees.live_leaves(ID)
    loser.trees.insert(child(leaf, body))
    with pytest.raises(TamperedError):
        asyncio.run(loser.check_not_rolled_back())


def test_rollback_to_one_side_of_a_merge_is_refused_and_no_alarm() -> None:
    merging, loser, _ = conflicted()
    asyncio.run(merging.audit())
    bodies = [body for body in merging.trees.bodies[ID].values() if "_deleted" not in body]
    [side] = [
        body for body in bodies if len(body["change_counts"]) == 1 and loser.name not in body["change_counts"]
    ]
    merging.roll_back(side)
    with pytest.raises(NotYetReplicatedError):
        asyncio.run(merging.check_not_rolled_back())


def test_older_revision_beside_a_later_one_changes_no_count() -> None:
    east, _ = masters()
    [old] = east.trees.live_leaves(ID)
    change(east)
    body = {name: value for name, value in old.items() if name != "_rev"}
    east.trees.insert(child(old, body))
    asyncio.run(east.audit())
    basket = asyncio.run(east.check_not_rolled_back())
    assert basket is not None
    assert basket.change_counts == {"east": 1}


def test_document_that_is_put_back_after_its_deletion_is_not_detected() -> None:
    east, _ = masters()
    basket = change(east)
    [old] = east.trees.live_leaves(ID)
    asyncio.run(east.witness.deletes(basket))
    east.delete(basket)
    [tombstone] = east.trees.leaves(ID)
    east.trees.save(old | {"_rev": tombstone["_rev"]})
    assert asyncio.run(east.check_not_rolled_back()) is not None


def test_tombstone_without_a_signature_is_not_taken_for_one_of_a_merge() -> None:
    east, _ = masters()
    basket = change(east)
    east.trees.save({"_id": ID, "_rev": basket.rev, "_deleted": True, "merged": True})
    with pytest.raises(TamperedError):
        asyncio.run(east.check_not_rolled_back())


def test_write_does_not_fail_while_the_witness_is_down_but_a_deletion_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    store.is_down = True
    master = Master("east", store, Clock(), Basket)
    asyncio.run(master.witness.wrote(NEW))
    assert [r.getMessage() for r in caplog.records] == [
        "document 'basket' is not covered by the witness: down"
    ]
    with pytest.raises(ConnectError):
        asyncio.run(master.witness.deletes(NEW))


def test_record_that_would_not_change_is_not_written_again() -> None:
    store = MemoryStore()
    master = Master("east", store, Clock(), Basket)
    for _ in range(3):
        asyncio.run(master.witness.wrote(NEW))
    assert store.records[f"id/{ID}"]["_rev"] == 1


def test_record_forgets_the_processes_whose_changes_are_folded() -> None:
    clock = Clock()
    east, west = masters(2, clock, ListedBasket)
    for _ in range(3):
        change(east)
    clock.advance(FOLDED_AFTER_DAYS + 1)
    change(east)
    west.trees.pull(east.trees, ID)
    asyncio.run(west.audit())
    record = asyncio.run(east.witness._store.fetch(f"id/{ID}"))
    assert record is not None
    for master in ("east", "west"):
        assert record["seen"][master].items() >= {"": 0, "2026-11-27": 3}.items()
        assert len(record["seen"][master]) == 3


def test_rollback_to_a_time_before_changes_were_folded_is_an_alarm() -> None:
    clock = Clock()
    east, _ = masters(2, clock, ListedBasket)
    change(east)
    [old] = east.trees.live_leaves(ID)
    clock.advance(FOLDED_AFTER_DAYS + 1)
    change(east)
    east.roll_back(old)
    with pytest.raises(TamperedError):
        asyncio.run(east.check_not_rolled_back())


def test_late_leaf_whose_changes_are_not_counted_is_no_alarm() -> None:
    clock = Clock()
    east, west = masters(2, clock, ListedBasket)
    change(west)
    clock.advance(FOLDED_AFTER_DAYS + 1)
    change(east)
    clock.advance(FOLDED_AFTER_DAYS + 1)
    change(east)
    for to, source in ((west, east), (east, west)):
        to.trees.pull(source.trees, ID)
        asyncio.run(to.audit())


class Listed(Model, tag="listed_v1.0"):
    changes: Annotated[ChangeSet, CountedOnce()]


class Uncounted(Model, tag="uncounted_v1.0"):
    key: Annotated[str, Immutable()]


@pytest.mark.parametrize("model_class", [FragileBasket, Uncounted])
def test_model_that_may_lose_changes_by_itself_is_refused(model_class: type[Model]) -> None:
    check_witnessable(Basket)
    check_witnessable(Listed)
    with pytest.raises(TypeError, match="to be witnessed"):
        check_witnessable(model_class)
