import asyncio
import dataclasses
from pathlib import Path

import pytest

from db_installer.folders import DESIGN_DOCS_FOLDER
from suite.experiments.multi_master import Experiment, run
from suite.experiments.sites import running
from tor_async_couchdb.installer import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect
from tor_async_couchdb.testing.couchdb import CouchDBServer


@dataclasses.dataclass(frozen=True)
class Schedule:
    users: int
    fruits: int
    partition_s: float
    load_after_heal_s: float
    is_killed: bool


QUICK = Schedule(users=3, fruits=4, partition_s=2.0, load_after_heal_s=1.0, is_killed=True)
LONG = [
    Schedule(users=1, fruits=1, partition_s=10.0, load_after_heal_s=10.0, is_killed=True),
    Schedule(users=10, fruits=1, partition_s=10.0, load_after_heal_s=0.0, is_killed=True),
    Schedule(users=10, fruits=50, partition_s=20.0, load_after_heal_s=10.0, is_killed=True),
    Schedule(users=10, fruits=50, partition_s=20.0, load_after_heal_s=10.0, is_killed=False),
]


@pytest.mark.parametrize("schedule", [QUICK, *(pytest.param(each, marks=pytest.mark.long) for each in LONG)])
async def test_two_masters_whose_link_is_cut_lose_no_acknowledged_change(
    schedule: Schedule, couchdb: CouchDBServer, tmp_path: Path
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
                    users=schedule.users,
                    fruits=schedule.fruits,
                    partition_s=schedule.partition_s,
                    load_after_heal_s=schedule.load_after_heal_s,
                    disturb=east.kill_and_start if schedule.is_killed else None,
                )
                figures = await run(experiment, (east, west))
        finally:
            await asyncio.to_thread(disconnect, *masters)
    assert all(count > 0 for count in figures.acknowledged.values())
    assert figures.conflicts > 0
    assert figures.merged > 0
    assert (figures.lost, figures.conflicts_left, figures.writes_when_quiet) == (0, 0, 0)
