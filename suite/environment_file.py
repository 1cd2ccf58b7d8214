"""A file that other terminals can `source` while a run goes on: where its databases and controls are."""

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from suite.couchdb import CouchDB
from suite.services import ServiceCommand

NAME = "environment"


@contextlib.contextmanager
def environment_file(
    folder: Path, couchdb: CouchDB, commands: Sequence[ServiceCommand], controls: Mapping[str, str]
) -> Iterator[Path]:
    """Writes the file into `folder`, where only this user can read it; it is removed at the end.

    It sets COUCHDB_URL, COUCHDB_USER and COUCHDB_PASSWORD, a variable such as CRUD_RETRY_DATABASE for each
    sample, with a number before _DATABASE from its second process on, and the variables `controls`. On a
    cluster a database's URL is that on the first node.
    """
    variables = {
        "COUCHDB_URL": ",".join(couchdb.urls),
        **couchdb.environment,
        **{_variable(command): command.database_url.split(",")[0] for command in commands},
        **controls,
    }
    path = folder / NAME
    path.unlink(missing_ok=True)
    path.touch(0o600, exist_ok=False)
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _variable(command: ServiceCommand) -> str:
    number = "" if command.number == 1 else f"_{command.number}"
    return f"{command.sample.name.replace('/', '_').upper()}{number}_DATABASE"
