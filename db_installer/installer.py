"""Creates and upgrades the samples' database; see `python -m db_installer.installer --help`."""

import sys
from pathlib import Path

from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer import CommandLineParser, main
from tor_async_couchdb.installer.admin import AdminClient

DESIGN_DOCS_FOLDER = Path(__file__).parent / "design_docs"
SEED_DOCS_FOLDER = Path(__file__).parent / "seed_docs"
_PYTHON_DESIGN_DOCS_FOLDER = Path(__file__).parent / "design_docs_python"


def design_docs_folder(language: str, host: str, *, verify_host_ssl_cert: bool = True) -> Path:
    """The design documents in a language that the CouchDB at `host` can run; says so if it is another."""
    if language == "javascript":
        return DESIGN_DOCS_FOLDER
    if _is_stand_in(host, verify_host_ssl_cert):
        sys.stderr.write(f"The CouchDB stand-in at {host} runs no {language}: installing JavaScript views.\n")
        return DESIGN_DOCS_FOLDER
    return _PYTHON_DESIGN_DOCS_FOLDER


def _is_stand_in(host: str, verify_host_ssl_cert: bool) -> bool:
    try:
        with AdminClient(host, verify_host_ssl_cert=verify_host_ssl_cert) as server:
            welcome = server.ask("GET", "")
    except CouchDBError:  # which the installation will meet, and tell
        return False
    return isinstance(welcome, dict) and welcome.get("vendor") == {"name": "embedded_couchdb"}


def _run() -> int:
    parser = CommandLineParser(
        "Creates or upgrades the database of the samples; running it again changes nothing.",
        default_database="tor_async_couchdb_sample",
    )
    parser.add_argument(
        "--language",
        choices=("javascript", "python"),
        default="javascript",
        help="what the views are written in; python needs couch-named-python as a query server of CouchDB, "
        "started with --allow db_installer.views [default: %(default)s]",
    )
    options = parser.parse_args()
    folder = design_docs_folder(
        options.language, options.host, verify_host_ssl_cert=options.verify_host_ssl_cert
    )
    return main(parser, folder, SEED_DOCS_FOLDER)


if __name__ == "__main__":
    sys.exit(_run())
