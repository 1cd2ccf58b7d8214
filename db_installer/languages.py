"""The language of the views: an option of the installer."""

import argparse
import sys
from pathlib import Path

from db_installer.folders import DESIGN_DOCS_FOLDER, PYTHON_DESIGN_DOCS_FOLDER
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer.admin import AdminClient


def add_language(parser: argparse.ArgumentParser) -> None:
    """Adds --language."""
    parser.add_argument(
        "--language",
        choices=("javascript", "python"),
        default="javascript",
        help="what the views are written in; python needs couch-named-python as a query server of CouchDB, "
        "started with --allow db_installer.views [default: %(default)s]",
    )


def design_docs_folder(language: str, host: str, *, verify_host_ssl_cert: bool = True) -> Path:
    """The design documents in a language that the CouchDB at `host` runs.

    The stand-in runs JavaScript alone: if it is asked for another language, a line on standard error says so.
    """
    if language == "javascript":
        return DESIGN_DOCS_FOLDER
    if _is_stand_in(host, verify_host_ssl_cert):
        sys.stderr.write(f"The CouchDB stand-in at {host} runs no {language}: installing JavaScript views.\n")
        return DESIGN_DOCS_FOLDER
    return PYTHON_DESIGN_DOCS_FOLDER


def _is_stand_in(host: str, verify_host_ssl_cert: bool) -> bool:
    try:
        with AdminClient(host, verify_host_ssl_cert=verify_host_ssl_cert) as server:
            welcome = server.ask("GET", "")
    except CouchDBError:  # the installation meets it again, and reports it
        return False
    return isinstance(welcome, dict) and welcome.get("vendor") == {"name": "embedded_couchdb"}
