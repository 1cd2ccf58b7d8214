"""Several processes and several masters: each change counts once, one reconciles, tampering is caught."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from samples.crud.multi_master.model import Fruit
from samples.crud.multi_master.service import make_app
from samples.tests.folders import ROOT
from tor_async_couchdb.conflicts.counts import counts_of
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.wire.revision import child
from tor_async_etcd.kv.keyset import prefix_end
from tor_async_etcd.testing import EtcdServer
from tor_async_service.app.application import Parts
from tor_async_service.couchdb.reconciling import MASTERS
from tor_async_service.couchdb.signing import witness_store
from tor_async_service.etcd.client import etcd_client
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.processes import TIMEOUT_S, Service, running
from tor_async_service.tests.serving import serving

Document = dict[str, Any]

DESIGN_DOCS = {
    f"_design/{path.stem}": json.loads(path.read_text())
    for path in sorted((ROOT / "db_installer" / "design_docs").glob("*.json"))
}


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


async def metric(client: aiohttp.ClientSession, name: str, url: str = "") -> float:
    async with client.get(f"{url}/_metrics", headers={"Accept": "text/plain"}) as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.split()[0] == name)


async def until(is_so: Callable[[], Any]) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await is_so():  # noqa: ASYNC110 - what is awaited happens in other processes
            await asyncio.sleep(0.05)


# --- several processes ---


@dataclasses.dataclass
class Process:
    service: Service
    url: str
    client: aiohttp.ClientSession

    async def is_leading(self) -> bool:
        return await metric(self.client, "leader", self.url) == 1.0

    async def status(self, path: str) -> int:
        async with self.client.get(self.url + path) as response:
            return response.status


@pytest.fixture
async def two_processes(
    couchdb: CouchDBServer, database_url: str, etcd: EtcdServer
) -> AsyncIterator[list[Process]]:
    """Two processes of the service on one database, and the first one leads."""
    options = ("--port", "0", "--database", database_url, "--etcd", etcd.url)
    async with contextlib.AsyncExitStack() as stack:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        client = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        processes = []
        for _ in range(2):
            service = await stack.enter_async_context(
                running(
                    "samples.crud.multi_master.service",
                    *options,
                    username=couchdb.username,
                    password=couchdb.password,
                )
            )
            processes.append(Process(service, await service.url(), client))
            await until(processes[0].is_leading)
        yield processes


def make_conflict(documents: Documents) -> str:
    """A fruit that was changed on two masters at the same time; its document's id."""
    moment = "2026-01-01T00:00:00.000000+00:00"
    fruit = {
        "type": "fruit_v3.0",
        "fruit_id": "f" * 32,
        "superseded": {},
        "created_on": moment,
        "updated_on": moment,
    }
    base = documents.put(**fruit, color="green", changes={})
    documents.put_leaves(
        [
            child(base, {**fruit, "color": name, "changes": {f"2026-01-01.{name}": [[1, 1]]}})
            for name in ("east", "west")
        ]
    )
    return str(base["_id"])


async def process_ids_of_candidates(etcd: EtcdServer) -> list[int]:
    """The process ids of those that lead or wait to lead."""
    prefix = b"tor_async_couchdb/reconciler/"
    async with etcd_client(etcd.url) as client:
        found = await client.get(prefix, prefix_end(prefix))
    return [int(kv.value.rpartition(b":")[2]) for kv in found.kvs]


async def test_process_that_is_killed_is_followed_when_its_lease_ends(
    two_processes: list[Process], documents: Documents
) -> None:
    first, second = two_processes
    assert not await second.is_leading()
    first.service.process.kill()
    await until(second.is_leading)
    fruit_id = make_conflict(documents)

    async def is_merged() -> bool:
        return "_conflicts" not in documents.get(fruit_id, conflicts="true")

    await until(is_merged)
    assert documents.get(fruit_id)["changes"] == {"2026-01-01.east": [[1, 1]], "2026-01-01.west": [[1, 1]]}


async def test_process_that_ends_normally_does_not_let_the_next_one_wait_for_its_lease(
    two_processes: list[Process], etcd: EtcdServer
) -> None:
    first, second = two_processes

    async def is_second_waiting() -> bool:
        return len(await process_ids_of_candidates(etcd)) == 2

    await until(is_second_waiting)
    first.service.process.terminate()
    assert await first.service.status() == 0
    assert await process_ids_of_candidates(etcd) == [second.service.process.pid]
    await until(second.is_leading)


@pytest.mark.long
async def test_service_works_without_etcd_and_logs_that_no_process_reconciles(
    two_processes: list[Process], etcd: EtcdServer
) -> None:
    first, second = two_processes
    etcd.kill()

    async def is_no_process_leading() -> bool:
        return not await first.is_leading() and not await second.is_leading()

    await until(is_no_process_leading)
    for process in two_processes:
        assert await process.status("/_health?quick=false") == 200
        assert await process.status("/v1.0/fruits") == 200
    etcd.start()

    async def is_a_process_leading() -> bool:
        return await first.is_leading() or await second.is_leading()

    await until(is_a_process_leading)
    assert any("not leading" in line for process in two_processes for line in process.service.log)


# --- several masters ---


@dataclasses.dataclass
class Master:
    """A service, and its database as its administrator sees it."""

    client: aiohttp.ClientSession
    documents: Documents
    couchdb: CouchDBServer

    async def request(self, method: str, path: str, status: int, color: str | None = None) -> Document:
        body = None if color is None else {"color": color}
        async with self.client.request(method, f"/v1.0/fruits{path}", json=body) as response:
            assert response.status == status, await response.text()
            answer: Document = await response.json(content_type=None)
            return answer

    async def put(self, fruit_id: str, color: str) -> Document:
        return await self.request("PUT", f"/{fruit_id}", 200, color)

    def document(self, fruit_id: str) -> Document:
        return next(doc for doc in self.documents.all() if doc.get("fruit_id") == fruit_id)

    async def alarms(self) -> float:
        return await metric(self.client, "tampering_detected_total")

    def pull(self, source: "Master") -> None:
        """Replicates once from another master. Without that, this master lags behind."""
        auth = {"basic": {"username": self.couchdb.username, "password": self.couchdb.password}}
        ends = [{"url": f"{self.couchdb.url}/{end.documents.name}", "auth": auth} for end in (source, self)]
        job = dict(zip(("source", "target"), ends, strict=True))
        assert self.couchdb.succeed("POST", "_replicate", json=job).json()["ok"]

    async def wait_until_witnessed(self, fruit_id: str, etcd: EtcdServer, master: str) -> None:
        """Waits until the record of this master has all changes of its document."""
        store = witness_store(f"etcd:{etcd.url}")
        document = self.document(fruit_id)

        async def is_witnessed() -> bool:
            record = await store.fetch(f"id/{document['_id']}")
            counts = counts_of(Fruit, document)
            return record is not None and counts.items() <= record["seen"].get(master, {}).items()

        try:
            await until(is_witnessed)
        finally:
            await store.close()


@contextlib.contextmanager
def new_database(couchdb: CouchDBServer) -> Iterator[tuple[str, Documents]]:
    """The URL of a database with the samples' views, and its documents."""
    with couchdb.new_database() as url:
        documents = Documents(couchdb, url)
        for document_id, design_doc in DESIGN_DOCS.items():
            documents.put(_id=document_id, **design_doc)
        yield url, documents


# --- changes that are written more than once, or beside one another ---


@contextlib.asynccontextmanager
async def unsigned_master(
    couchdb: CouchDBServer, url: str, documents: Documents
) -> AsyncIterator[tuple[Master, FaultProxy]]:
    """A master that does not reconcile in the background, and a proxy in front of its database."""
    async with (
        FaultProxy(url) as proxy,
        Database(proxy.url, username=couchdb.username, password=couchdb.password) as database,
        serving(make_app(database)) as client,
    ):
        yield Master(client, documents, couchdb), proxy


def leaf_of(request: Request, documents: Documents) -> Document:
    """The one document that a request writes, as a leaf that one copy of a cluster has taken."""
    [written] = json.loads(request.body)["docs"]
    body = {name: value for name, value in written.items() if name not in ("_id", "_rev")}
    leaf = child(written, body)
    documents.put_leaves([leaf])
    return leaf


async def test_try_that_lost_and_comes_back_in_a_merge_counts_once(couchdb: CouchDBServer) -> None:
    with new_database(couchdb) as in_east, new_database(couchdb) as in_west:
        async with (
            unsigned_master(couchdb, *in_east) as (east, proxy),
            unsigned_master(couchdb, *in_west) as (west, _),
        ):
            fruit_id = (await east.request("POST", "", 201, "green"))["fruit_id"]
            west.pull(east)
            await west.put(fruit_id, "blue")

            async def lose(request: Request) -> web.StreamResponse:
                """The try is replicated before it is buried, and comes back merged."""
                lost = leaf_of(request, east.documents)
                west.pull(east)
                east.documents.put_leaves([child(lost, {"_deleted": True, "undone": {"rev": lost["_rev"]}})])
                await west.request("GET", f"/{fruit_id}", 200)
                east.pull(west)
                return await request.forward()

            proxy.inject(lose, "_bulk_docs")
            changed = await east.put(fruit_id, "red")
            assert (changed["change_count"], changed["color"]) == (2, "red")
            west.pull(east)
            assert await west.request("GET", f"/{fruit_id}", 200) == changed


async def test_changes_of_one_revision_by_two_processes_both_count(couchdb: CouchDBServer) -> None:
    with new_database(couchdb) as of_both:
        async with (
            unsigned_master(couchdb, *of_both) as (one, to_one),
            unsigned_master(couchdb, *of_both) as (other, to_other),
        ):
            fruit_id = (await one.request("POST", "", 201, "green"))["fruit_id"]
            both = asyncio.Barrier(2)

            async def accept(request: Request) -> web.StreamResponse:
                """Two copies of a cluster take a change each, and refuse the other one."""
                await both.wait()
                leaf = leaf_of(request, one.documents)
                await both.wait()
                row = {"ok": True, "id": leaf["_id"], "rev": leaf["_rev"], "accepted": True}
                return web.json_response([row], status=202)

            for proxy in (to_one, to_other):
                proxy.inject(accept, "_bulk_docs")
            await asyncio.gather(one.put(fruit_id, "red"), other.put(fruit_id, "blue"))
            for process in (one, other):
                fruit = await process.request("GET", f"/{fruit_id}", 200)
                assert fruit["change_count"] == 2
                if one.documents.copies() == 1:
                    assert fruit["superseded"].keys() | {fruit["color"]} == {"red", "blue"}
                else:  # one of them has lost the race, and was made again after the other
                    assert "superseded" not in fruit
                    assert fruit["color"] in ("red", "blue")


# --- an attacker on one of the masters ---


@contextlib.asynccontextmanager
async def running_master(
    name: str, couchdb: CouchDBServer, etcd: EtcdServer, keys: Path
) -> AsyncIterator[Master]:
    with new_database(couchdb) as (url, documents):
        keyset, witness = TamperingSigner.from_file(keys), witness_store(f"etcd:{etcd.url}")
        parts = Parts(metrics=ServiceMetrics())
        async with Database(
            url,
            username=couchdb.username,
            password=couchdb.password,
            guard=MASTERS.make(master=name, keyset=keyset, witness=witness),
            observer=parts.metrics,
        ) as database:
            app = make_app(database, etcd=etcd_client(etcd.url), parts=parts)
            [work] = app.background_work
            task = asyncio.create_task(work())
            try:
                async with serving(app) as client:
                    yield Master(client, documents, couchdb)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def masters(couchdb: CouchDBServer, etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[list[Master]]:
    signing.new_key_set(tmp_path / "keys.json")
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_master(name, couchdb, etcd, tmp_path / "keys.json"))
            for name in ("east", "west")
        ]


async def both_have_a_changed_fruit(masters: list[Master], etcd: EtcdServer) -> tuple[str, Document]:
    """Its id, and the document as it was before its last change, which was made in the east."""
    east, west = masters
    fruit_id: str = (await east.request("POST", "", 201, "green"))["fruit_id"]
    await east.put(fruit_id, "red")
    old = east.document(fruit_id)
    await east.put(fruit_id, "blue")
    west.pull(east)
    await west.wait_until_witnessed(fruit_id, etcd, "west")
    return fruit_id, old


@pytest.mark.long
async def test_masters_that_lag_behind_merge_and_delete_raise_no_alarm(
    masters: list[Master], etcd: EtcdServer
) -> None:
    east, west = masters
    fruit_id, _ = await both_have_a_changed_fruit(masters, etcd)
    for _ in range(3):
        for master in masters:
            await master.put(fruit_id, "red")
            await master.request("GET", f"/{fruit_id}", 200)
    east.pull(west)
    merged = await east.request("GET", f"/{fruit_id}", 200)
    assert merged["change_count"] == 8
    await east.request("DELETE", f"/{fruit_id}", 200)
    await west.put(fruit_id, "white")  # which has not replicated the deletion
    for to, source in ((west, east), (east, west), (west, east)):
        to.pull(source)
    assert await west.request("GET", f"/{fruit_id}", 200) == await east.request("GET", f"/{fruit_id}", 200)
    await west.request("DELETE", f"/{fruit_id}", 200)
    await east.request("GET", f"/{fruit_id}", 200)
    east.pull(west)
    await east.request("GET", f"/{fruit_id}", 404)
    # The reconcilers have handled all changes before this one.
    again, _ = await both_have_a_changed_fruit(masters, etcd)
    await west.request("GET", f"/{again}", 200)
    assert [await master.alarms() for master in masters] == [0.0, 0.0]


async def test_rollback_on_one_master_is_caught_on_both(masters: list[Master], etcd: EtcdServer) -> None:
    east, west = masters
    fruit_id, old = await both_have_a_changed_fruit(masters, etcd)
    west.documents.put(**old | {"_rev": west.document(fruit_id)["_rev"]})
    await until(west.alarms)  # although no client has read it
    await west.request("GET", f"/{fruit_id}", 502)
    await west.request("PUT", f"/{fruit_id}", 502, "black")
    assert await east.alarms() == 0
    east.pull(west)
    await until(east.alarms)
    await east.request("GET", f"/{fruit_id}", 502)


async def test_deletion_on_one_master_is_caught_on_both(masters: list[Master], etcd: EtcdServer) -> None:
    east, west = masters
    fruit_id, _ = await both_have_a_changed_fruit(masters, etcd)
    west.documents.delete(west.document(fruit_id))
    await until(west.alarms)  # although no client has read it
    await west.request("GET", f"/{fruit_id}", 404)
    assert await east.alarms() == 0
    east.pull(west)
    await until(east.alarms)
