"""What the options of samples stand for: key sets, folders of secrets, an etcd, a webhook."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from suite.table import Sample
from tor_async_service.local.resources import resources_of as resources_of_options


@contextlib.contextmanager
def resources_of(sample: Sample) -> Iterator[dict[str, str]]:
    """What the sample's options name in braces, by these names; it is removed at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        resources_of_options(sample.options, Path(folder)) as values,
    ):
        yield values
