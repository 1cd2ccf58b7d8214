"""The command ``cnp-upload``, which writes the design documents of YAML files to a database."""

import argparse
import os
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from couch_named_python.deploy.deployment import DeploymentError, DesignDatabase, difference
from couch_named_python.deploy.design_files import DesignError, design_documents, read_design_files

_EPILOG = """\
Credentials come from the URL or, better, from the environment: COUCHDB_USER and COUCHDB_PASSWORD.
Nothing is uploaded unless every function in every file can be imported and is of the right kind.
Exit status: 0 success; 1 failure or, with --check, a difference; 2 wrong usage."""


def main() -> None:
    """Upload design documents, or show what would be uploaded."""
    arguments = _parse_arguments()
    try:
        sys.exit(_run(arguments))
    except (DesignError, DeploymentError) as error:
        sys.exit(f"cnp-upload: {error}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cnp-upload", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="show the differences, upload nothing")
    mode.add_argument(
        "--check", action="store_true", help="like --dry-run, with exit status 1 if something differs"
    )
    mode.add_argument(
        "--wait",
        action="store_true",
        help="build the new indexes first and show progress, then replace the design documents",
    )
    parser.add_argument(
        "--fingerprint", action="store_true", help="append fingerprints of the source, not @version numbers"
    )
    parser.add_argument(
        "--view-server",
        default="python",
        metavar="NAME",
        help="the language that CouchDB has the query server under (default: python)",
    )
    parser.add_argument("url", metavar="URL", help="the server, such as http://127.0.0.1:5984")
    parser.add_argument("database", metavar="DATABASE")
    parser.add_argument("files", metavar="design.yml", nargs="+", type=Path)
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    documents = design_documents(
        read_design_files(arguments.files),
        language=arguments.view_server,
        as_fingerprints=arguments.fingerprint,
    )
    url, credentials = _server(arguments.url)
    database = DesignDatabase(url, arguments.database, credentials)
    deployed = {document["_id"]: database.fetch(document["_id"]) for document in documents}
    changed = []
    for document in documents:
        lines = difference(deployed[document["_id"]], document)
        _say("\n".join([f"{document['_id']}: {'differs' if lines else 'up to date'}", *lines]))
        if lines:
            changed.append(document)
    if arguments.check:
        return 1 if changed else 0
    if not arguments.dry_run:
        for document in changed:
            if arguments.wait:
                database.build_index(document, lambda pending: _say(f"{pending} changes to index"))
            database.upload(document, deployed[document["_id"]])
            _say(f"{document['_id']}: uploaded")
    return 0


def _server(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return the URL without credentials, and the credentials: the URL's or the environment's."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise DeploymentError("the URL is not of the form http[s]://host[:port][/path]")
    if parts.username is not None:
        credentials = unquote(parts.username), unquote(parts.password or "")
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), credentials
    # An empty variable is as good as none: it is what a compose file makes of one that isn't set.
    user, password = os.environ.get("COUCHDB_USER", ""), os.environ.get("COUCHDB_PASSWORD", "")
    if bool(user) != bool(password):
        raise DeploymentError("set both COUCHDB_USER and COUCHDB_PASSWORD, or neither")
    if ":" in user:
        raise DeploymentError("COUCHDB_USER: HTTP basic authentication allows no colon in a user's name")
    for name, text in (("COUCHDB_USER", user), ("COUCHDB_PASSWORD", password)):
        # RFC 7617, section 2. Python makes lone surrogates of what isn't UTF-8 in the environment.
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            raise DeploymentError(f"{name}: it must be UTF-8, without control characters")
    return url, (user, password) if user else None


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- a command's output


if __name__ == "__main__":
    main()
