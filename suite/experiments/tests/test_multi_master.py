import asyncio
from pathlib import Path

from db_installer.installer import DESIGN_DOCS_FOLDER
from suite.experiments.multi_master import Experiment, run
from suite.experiments.sites import running
from tor_async_couchdb.installer import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect
from tor_async_couchdb.testing.couchdb import CouchDBServer


async def test_two_masters_that_are_parted_and_joined_lose_nothing_though_a_reconciler_is_killed(
    couchdb: CouchDBServer, tmp_path: Path
) -> None:
    credentials = UserPassword(couchdb.username, couchdb.password)
    with couchdb.new_database() as one, couchdb.new_database() as other:
        masters = [Master.from_url(url, credentials) for url in (one, other)]
        for master in masters:
            install(
                master.host, master.database, credentials=credentials, design_docs_folder=DESIGN_DOCS_FOLDER
            )
        await asyncio.to_thread(connect, *masters)
        environment = {"COUCHDB_USER": couchdb.username, "COUCHDB_PASSWORD": couchdb.password}
        try:
            async with (
                running("east", masters[0], tmp_path, environment) as east,
                running("west", masters[1], tmp_path, environment) as west,
            ):
                experiment = Experiment(
                    cut=lambda: asyncio.to_thread(disconnect, *masters),
                    heal=lambda: asyncio.to_thread(connect, *masters),
                    users=3,
                    fruits=4,
                    partition_s=2.0,
                    load_after_heal_s=1.0,
                    disturb=east.kill_and_start,
                )
                figures = await run(experiment, (east, west))
        finally:
            await asyncio.to_thread(disconnect, *masters)
    assert all(count > 0 for count in figures.acknowledged.values())
    assert figures.conflicts > 0
    assert figures.merged > 0
    assert (figures.lost, figures.conflicts_left, figures.writes_when_quiet) == (0, 0, 0)
