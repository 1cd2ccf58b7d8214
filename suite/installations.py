"""The databases that samples run on: one that they share, and more for those that need their own."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from suite.couchdb import CouchDB
from suite.resources import resources_of
from suite.services import ServiceCommand
from suite.table import Sample
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_service.local.resources import filled


@contextlib.contextmanager
def installed(
    samples: Sequence[Sample], couchdb: CouchDB, purpose: str, given: Mapping[str, str] | None = None
) -> Iterator[list[ServiceCommand]]:
    """Makes all that the samples need; yields what starts them, in the order of the samples.

    Databases are named after `purpose`. `given` are resources that exist already, by their names. All else
    is removed at the end.

    Raises:
        SuiteError: a database can't be installed.
    """
    with ExitStack() as stack:
        installation = _Installation(couchdb, purpose, given or {}, stack)
        yield [command for sample in samples for command in installation.commands(sample)]


class _Installation:
    """Databases and resources that are removed when `stack` is closed."""

    def __init__(self, couchdb: CouchDB, purpose: str, given: Mapping[str, str], stack: ExitStack) -> None:
        self._given = dict(given)
        self._couchdb = couchdb
        self._purpose = purpose
        self._stack = stack
        self._shared_url: str | None = None

    def commands(self, sample: Sample) -> list[ServiceCommand]:
        """What starts each process of the sample."""
        values = self._given | self._stack.enter_context(resources_of(self._without_given(sample)))
        if sample.masters:
            urls = self._masters(sample)
        else:
            key_set = values.get("key_set")
            url = self._own(sample, key_set) if sample.has_own_database else self._shared()
            urls = [url] * sample.processes
        options = filled(sample.options, values)
        return [
            ServiceCommand(sample, url, self._couchdb.environment_of(url), number, options)
            for number, url in zip(sample.numbers, urls, strict=True)
        ]

    def _without_given(self, sample: Sample) -> Sample:
        """The sample with only those options that do not name a resource that is there already."""
        options = (
            option for option in sample.options if not any(f"{{{name}}}" in option for name in self._given)
        )
        return dataclasses.replace(sample, options=tuple(options))

    def _shared(self) -> str:
        if self._shared_url is None:
            database = self._couchdb.installed_database(self._purpose)
            self._shared_url = self._stack.enter_context(database)
        return self._shared_url

    def _own(self, sample: Sample, key_set: str | None) -> str:
        signer = None if key_set is None else TamperingSigner.from_file(key_set)
        purpose = self._purpose_of(sample)
        return self._stack.enter_context(self._couchdb.installed_database(purpose, seed_doc_signer=signer))

    def _masters(self, sample: Sample) -> list[str]:
        # Without the seed document: it is of another version of the type than the fruits of this sample. And
        # with CouchDB's own limit of revisions, as each master changes fruits while they are apart.
        urls = [
            self._stack.enter_context(
                self._couchdb.installed_database(
                    f"{self._purpose_of(sample)}_{name}", seed_docs_folder=None, revs_limit=None
                )
            )
            for name in sample.masters
        ]
        credentials = UserPassword(self._couchdb.username, self._couchdb.password)
        masters = [Master.from_url(url, credentials) for url in urls]
        connect(*masters)
        self._stack.callback(_end_replication, *masters)
        return urls

    def _purpose_of(self, sample: Sample) -> str:
        return f"{self._purpose}_{sample.name.rpartition('/')[2]}"


def _end_replication(*masters: Master) -> None:
    # The databases are deleted next: a replication that can't be ended now ends with them.
    with contextlib.suppress(InstallerError, CouchDBError):
        disconnect(*masters)
