import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ForbiddenError
from tor_async_couchdb.tests.baskets import BLUE, RED, Conflicts, body
from tor_async_couchdb.wire.revision import child


async def test_all_live_leaves_are_read_and_tombstones_are_not(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE), {"_deleted": True})
    leaves = await database.revisions.fetch_live_leaves(document_id)
    assert sorted(leaf["color"] for leaf in leaves) == ["blue", "red"]
    winner = conflicts.documents.get(document_id)
    assert leaves[0]["_rev"] == winner["_rev"]


async def test_missing_or_deleted_document_has_no_live_leaf(database: Database, conflicts: Conflicts) -> None:
    document = conflicts.documents.put(**body())
    conflicts.documents.delete(document)
    assert await database.revisions.fetch_live_leaves(document["_id"]) == []
    assert await database.revisions.fetch_live_leaves("absent") == []


async def test_inserting_a_revision_again_changes_nothing(database: Database, conflicts: Conflicts) -> None:
    document = conflicts.documents.put(**body())
    revision = child(document, body(**BLUE))
    await database.revisions.insert([revision])
    before = conflicts.documents.update_count()
    await database.revisions.insert([revision])
    assert conflicts.documents.update_count() == before
    assert conflicts.documents.get(document["_id"])["_rev"] == revision["_rev"]


async def test_refused_revision_is_an_error(database: Database, conflicts: Conflicts) -> None:
    validate = "function(doc) { if (doc.color === 'blue') { throw({forbidden: 'no blue'}); } }"
    conflicts.documents.put(_id="_design/only_red", language="javascript", validate_doc_update=validate)
    with pytest.raises(ForbiddenError, match="no blue"):
        await conflicts.make(body(**BLUE))


async def test_changes_have_conflicts_and_the_sequence_to_go_on_from(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    changes = await database.revisions.changes(0, limit=10, timeout_s=1)
    (change,) = changes.results
    assert change.id == document_id
    assert len(change.changes) == 2
    assert change.doc is not None
    assert len(change.doc["_conflicts"]) == 1
    assert (await database.revisions.changes(changes.last_seq, limit=10, timeout_s=0.1)).results == []


async def test_local_document_is_read_as_it_was_last_written(database: Database) -> None:
    assert await database.revisions.read_local("checkpoint/1") is None
    for since in ("1-a", "2-b"):
        await database.revisions.write_local("checkpoint/1", {"since": since})
    stored = await database.revisions.read_local("checkpoint/1")
    assert stored is not None
    assert stored["since"] == "2-b"
