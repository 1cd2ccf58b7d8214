"""Run the stand-in in the foreground: `python -m embedded_couchdb --port 5984 --folder FOLDER`."""

import argparse
import os
import sys
from pathlib import Path

from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m embedded_couchdb",
        description="Run a CouchDB stand-in until Ctrl-C. Its administrator: COUCHDB_USER, COUCHDB_PASSWORD.",
    )
    parser.add_argument("--port", type=int, default=5984, help="0: any free one (default: 5984)")
    parser.add_argument("--folder", type=Path, required=True, help="where its databases are kept")
    return parser.parse_args()


def main() -> int:
    """Run the stand-in until it ends or Ctrl-C; return the exit status."""
    arguments = _arguments()
    try:
        node = find_node()
        install(node)
        server = EmbeddedCouchDB(
            node,
            arguments.folder,
            port=arguments.port,
            username=os.environ.get("COUCHDB_USER", ""),
            password=os.environ.get("COUCHDB_PASSWORD", ""),
        )
        with server:
            sys.stdout.write(f"{server.url} (Ctrl-C ends it)\n")
            sys.stdout.flush()
            return server.wait()
    except EmbeddedCouchDBError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
