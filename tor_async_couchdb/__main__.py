"""`python -m tor_async_couchdb COMMAND`; `--help` lists the commands."""

import sys

from tor_async_couchdb.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main())
