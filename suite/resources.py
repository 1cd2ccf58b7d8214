"""What the options of samples stand for: key sets, folders of secrets, an etcd."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from suite.table import Sample
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.folder import new_protection
from tor_async_etcd.testing import EtcdServer


@contextlib.contextmanager
def _key_set() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        signing.new_key_set(path)
        yield str(path)


@contextlib.contextmanager
def _protection() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "protection"
        new_protection(path)
        yield str(path)


@contextlib.contextmanager
def _etcd() -> Iterator[str]:
    with EtcdServer() as server:
        yield server.url


_RESOURCES: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    "key_set": _key_set,
    "protection": _protection,
    "etcd": _etcd,
}


@contextlib.contextmanager
def resources_of(sample: Sample) -> Iterator[dict[str, str]]:
    """What the sample's options name in braces, by these names; it is removed at the end."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(make())
            for name, make in _RESOURCES.items()
            if any(f"{{{name}}}" in option for option in sample.options)
        }


def filled(options: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """The options, with each name in braces replaced by its value.

    Raises:
        KeyError: an option has a name that is not among the values.
    """
    return tuple(option.format_map(values) for option in options)
