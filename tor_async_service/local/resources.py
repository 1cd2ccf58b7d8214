"""What a service can't start without, beside its database: key sets, folders of secrets, an etcd, a webhook.

Its options name them in braces, as in `--keyset {key_set}`.
"""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path


@contextlib.contextmanager
def _key_set(folder: Path) -> Iterator[str]:
    # Here, as are the imports below: a service without signatures has no tink.
    from tor_async_couchdb.protection.signing import new_key_set

    path = folder / "keys.json"
    if not path.exists():
        new_key_set(path)
    yield str(path)


@contextlib.contextmanager
def _protection(folder: Path) -> Iterator[str]:
    from tor_async_couchdb.protection.folder import new_protection

    path = folder / "protection"
    if not path.exists():
        new_protection(path)
    yield str(path)


@contextlib.contextmanager
def _etcd(folder: Path) -> Iterator[str]:
    from tor_async_etcd.testing import EtcdServer

    with EtcdServer() as server:
        yield server.url


class _Accept(http.server.BaseHTTPRequestHandler):
    """Accepts what it is sent."""

    def do_POST(self) -> None:
        """Called by the server for each notice."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
        """Called by the server for each line of its log, which nobody needs."""


@contextlib.contextmanager
def _webhook(folder: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Accept) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/notices"
        server.shutdown()


RESOURCES: Mapping[str, Callable[[Path], AbstractContextManager[str]]] = {
    "key_set": _key_set,
    "protection": _protection,
    "etcd": _etcd,
    "webhook": _webhook,
}


@contextlib.contextmanager
def resources_of(options: Sequence[str], folder: Path) -> Iterator[dict[str, str]]:
    """What the options name in braces, by these names.

    Keys and secrets are files in `folder`, and those that are there already are used. A server ends with the
    block.

    Raises:
        RuntimeError: there is no etcd.
    """
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(make(folder))
            for name, make in RESOURCES.items()
            if any(f"{{{name}}}" in option for option in options)
        }


def filled(options: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """The options, with each name in braces replaced by its value.

    Raises:
        KeyError: an option has a name that is not among the values.
    """
    return tuple(option.format_map(values) for option in options)
