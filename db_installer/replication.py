"""Has two databases replicate both ways; see `python -m db_installer.replication --help`."""

import sys

from tor_async_couchdb.commands.replicate import main

if __name__ == "__main__":
    sys.exit(main())
