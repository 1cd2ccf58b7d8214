"""The samples, one row each: what the suite has to know in order to run and test a sample.

A new sample gets a row here. Nothing else in the suite lists the samples.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
SAMPLES_FOLDER = ROOT / "samples"
ANY_PORT = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """How the suite starts a sample, and what it does with it.

    `name` is the sample's folder below samples/. Its processes listen on `port` and the ports that follow.

    `options` are what its service can't start without. A name in braces stands for something that the suite
    makes before it starts the sample and removes after it (suite/resources.py): `{key_set}`, `{protection}`,
    `{etcd}`, `{webhook}`. `masters` are the names of databases that replicate with each other, one for each
    process.
    """

    name: str
    port: int
    processes: int = 1
    options: tuple[str, ...] = ()
    has_own_database: bool = False
    masters: tuple[str, ...] = ()
    is_under_load: bool = False
    meets_contract: bool = True
    """Whether tests.py runs against it."""
    package: str = "samples"

    @property
    def module(self) -> str:
        """The module that `python -m` runs."""
        return f"{self.package}.{self.name.replace('/', '.')}.service"

    def needs(self, resource: str) -> bool:
        """Whether one of its options has this name in braces."""
        return any(f"{{{resource}}}" in option for option in self.options)

    @property
    def numbers(self) -> range:
        """The numbers of its processes, from 1."""
        return range(1, self.processes + 1)

    def port_of(self, number: int) -> int:
        """The port of its `number`th process; 0 is any free port."""
        return self.port + number - 1 if self.port else ANY_PORT

    def label(self, number: int) -> str:
        """What its `number`th process is called, for instance "leader (2)"."""
        return self.name if number == 1 else f"{self.name} ({number})"

    def anywhere(self) -> Self:
        """The same sample on any free ports."""
        return dataclasses.replace(self, port=ANY_PORT)


# A service's own default port is 8445, so that the copies of one another stay equal.
SAMPLES = (
    Sample("crud/basic", 8445, is_under_load=True),
    Sample("crud/retry", 8446, is_under_load=True),
    Sample("crud/exp_backoff", 8447, is_under_load=True),
    Sample("health", 8448),
    Sample("metrics", 8449),
    Sample("crud/multi_master", 8450, 2, masters=("east", "west")),
    # The database holds only signed documents: an unsigned one would be reported as tampered with.
    Sample("crud/tampering", 8452, options=("--keyset", "{key_set}"), has_own_database=True),
    # Its fruits have properties that the other samples refuse.
    Sample("crud/hash_and_encrypt", 8453, options=("--protection", "{protection}"), has_own_database=True),
    Sample("crud/group_commit", 8454, is_under_load=True),
    Sample("crud/conditional", 8460, is_under_load=True),
    # Its fruits have properties that the other samples refuse, and documents with ids of their own.
    Sample("crud/idempotent", 8461, has_own_database=True, is_under_load=True),
    Sample("crud/append_only", 8462, has_own_database=True, is_under_load=True),
    # Its fruits are of two versions, and the other samples refuse the newer one.
    Sample("crud/migration", 8464, options=("--version", "2"), has_own_database=True, is_under_load=True),
    Sample("leader", 8455, 3, ("--etcd", "{etcd}")),
    Sample("changes", 8463),
    Sample("outbox", 8465, 2, ("--etcd", "{etcd}", "--webhook", "{webhook}")),
)


def loaded(samples: Iterable[Sample]) -> list[str]:
    """The names of those that locust's page has to offer: those that are meant for load, or else all."""
    samples = list(samples)
    names = [sample.name for sample in samples if sample.is_under_load] or [each.name for each in samples]
    return list(dict.fromkeys(names))


def sample_named(name: str) -> Sample:
    """The row of the sample in samples/`name`."""
    return next(sample for sample in SAMPLES if sample.name == name)


def without_a_row(samples: Sequence[Sample] = SAMPLES, folder: Path = SAMPLES_FOLDER) -> list[str]:
    """The names of the samples in `folder` that `samples` lacks."""
    found = {path.parent.relative_to(folder).as_posix() for path in folder.rglob("service.py")}
    return sorted(found - {sample.name for sample in samples})
