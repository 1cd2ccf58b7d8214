"""The command ``couch-named-python``, which CouchDB starts for design documents in the language "python"."""

import argparse
import signal
import sys

from couch_named_python.loading.loader import FunctionLoader
from couch_named_python.serve.pipe import take_standard_streams
from couch_named_python.serve.server import QueryServer


def main() -> None:
    """Serve CouchDB over stdin and stdout until CouchDB closes them."""
    parser = argparse.ArgumentParser(
        prog="couch-named-python",
        description="A CouchDB query server for Python functions. CouchDB starts it by itself: set "
        'COUCHDB_QUERY_SERVER_PYTHON="/path/to/couch-named-python --allow mypkg.views" in its environment.',
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="MODULE",
        help="run the functions of this module or package and of what is below it; repeat for more",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(QueryServer(take_standard_streams(), FunctionLoader(arguments.allow)).run())


if __name__ == "__main__":
    main()
