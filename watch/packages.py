"""The packages of the page, which npm installs: uPlot for the charts, and axe-core for the tests."""

from pathlib import Path

from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.node import find_node, install

FOLDER = Path(__file__).parent
TESTS_FOLDER = FOLDER / "tests"


class PackagesError(Exception):
    """npm could not install them."""


def install_packages(folder: Path = FOLDER) -> None:
    """Installs the packages of the lock file in `folder`, unless they are there. It may take a minute.

    Raises:
        PackagesError: it can't be done; the page has no charts then.
    """
    try:
        install(find_node(), folder, "The charts of the page")
    except EmbeddedCouchDBError as error:
        raise PackagesError(str(error)) from error
