"""What the samples run on: a database that they share, and more for those that need more."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from suite.couchdb import CouchDB
from suite.services import Sample, Service, processes_of
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.folder import new_protection
from tor_async_etcd.testing import EtcdServer

MASTERS = ("east", "west")  # what crud/multi_master's databases are called


@dataclass(frozen=True)
class Installation:
    """A database with what some samples need in it, and what their environment has to say."""

    samples: Sequence[Sample]
    database_url: str
    environment: Mapping[str, str] = field(repr=False)


def running(
    installations: Sequence[Installation], logs: Path, environment: Mapping[str, str] | None = None
) -> AbstractContextManager[list[Service]]:
    """All samples of the installations as services, started and stopped together.

    Raises:
        SuiteError: one of them has not become well, or has ended.
    """
    starts = [
        (sample, installation.database_url, {**installation.environment, **(environment or {})})
        for installation in installations
        for sample in installation.samples
    ]
    return processes_of(starts, logs)


@contextlib.contextmanager
def installed(samples: Sequence[Sample], couchdb: CouchDB, purpose: str) -> Iterator[list[Installation]]:
    """Installs all that the samples need; it is gone in the end.

    Raises:
        SuiteError: something can't be installed.
    """
    by_name = {sample.name: sample for sample in samples}
    leader = by_name.pop("leader", None)
    tampering = by_name.pop("crud/tampering", None)
    hash_and_encrypt = by_name.pop("crud/hash_and_encrypt", None)
    multi_master = by_name.pop("crud/multi_master", None)
    with ExitStack() as stack:
        shared = list(by_name.values())
        if leader is not None:
            shared += _leaders(leader, stack)
        installations = []
        if shared:
            url = stack.enter_context(couchdb.installed_database(purpose))
            installations.append(Installation(shared, url, couchdb.environment))
        if multi_master is not None:
            installations += _masters(multi_master, couchdb, purpose, stack)
        if tampering is not None:
            installations.append(_signed(tampering, couchdb, purpose, stack))
        if hash_and_encrypt is not None:
            installations.append(_protected(hash_and_encrypt, couchdb, purpose, stack))
        yield installations


def _leaders(sample: Sample, stack: ExitStack) -> list[Sample]:
    etcd = stack.enter_context(EtcdServer())
    return [sample.another(number, "--etcd", etcd.url) for number in sample.numbers]


def _masters(sample: Sample, couchdb: CouchDB, purpose: str, stack: ExitStack) -> list[Installation]:
    # Without the seed document: it is of another version of the type than this sample's fruits.
    urls = [
        stack.enter_context(couchdb.installed_database(f"{purpose}_{name}", seed_docs_folder=None))
        for name in MASTERS
    ]
    credentials = UserPassword(couchdb.username, couchdb.password)
    masters = [Master.from_url(url, credentials) for url in urls]
    connect(*masters)
    stack.callback(disconnect, *masters)
    return [
        Installation([sample.another(number, "--master", name)], url, couchdb.environment)
        for number, name, url in zip(sample.numbers, MASTERS, urls, strict=True)
    ]


def _signed(sample: Sample, couchdb: CouchDB, purpose: str, stack: ExitStack) -> Installation:
    # A database of its own: what the others write would be documents that somebody put there without the key.
    key_set = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "keys.json"
    signing.new_key_set(key_set)
    signer = signing.TamperingSigner.from_file(key_set)
    url = stack.enter_context(couchdb.installed_database(f"{purpose}_signed", seed_doc_signer=signer))
    return Installation([sample], url, couchdb.environment | {"TAMPERING_KEY_SET": str(key_set)})


def _protected(sample: Sample, couchdb: CouchDB, purpose: str, stack: ExitStack) -> Installation:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "protection"
    new_protection(folder)
    # A database of its own: to the others its fruits have properties that they don't know.
    url = stack.enter_context(couchdb.installed_database(f"{purpose}_protected"))
    return Installation([sample], url, couchdb.environment | {"PROTECTION_FOLDER": str(folder)})
