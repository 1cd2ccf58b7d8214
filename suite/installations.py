"""What the samples run on: a database that they share, and one of its own for who signs documents."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from suite.couchdb import CouchDB
from suite.services import Sample, Service, running_services
from tor_async_couchdb import tamper

# To it, what the others write would be documents that somebody put there without the key.
_SIGNING = "crud/tampering"


@dataclass(frozen=True)
class Installation:
    """A database with what some samples need in it, and what their environment has to say."""

    samples: Sequence[Sample]
    database_url: str
    environment: Mapping[str, str] = field(repr=False)

    def running_services(
        self, logs: Path, environment: Mapping[str, str] | None = None
    ) -> AbstractContextManager[list[Service]]:
        """The samples as services, as `services.running_services` runs them."""
        whole = {**self.environment, **(environment or {})}
        return running_services(self.samples, self.database_url, whole, logs)


@contextlib.contextmanager
def installed(samples: Sequence[Sample], couchdb: CouchDB, purpose: str) -> Iterator[list[Installation]]:
    """Installs databases for the samples, which are deleted in the end.

    Raises:
        SuiteError: one can't be installed.
    """
    signing = [sample for sample in samples if sample.name == _SIGNING]
    others = [sample for sample in samples if sample.name != _SIGNING]
    with contextlib.ExitStack() as stack:
        installations = []
        if others:
            url = stack.enter_context(couchdb.installed_database(purpose))
            installations.append(Installation(others, url, couchdb.environment))
        if signing:
            key_set = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "keys.json"
            tamper.new_key_set(key_set)
            signer = tamper.TamperingSigner.from_file(key_set)
            url = stack.enter_context(couchdb.installed_database(f"{purpose}_signed", signer))
            environment = couchdb.environment | {"TAMPERING_KEY_SET": str(key_set)}
            installations.append(Installation(signing, url, environment))
        yield installations
