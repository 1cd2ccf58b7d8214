"""`python -m tor_async_service.local MODULE`; `--help` shows the options."""

import sys

from tor_async_service.local.command import main

if __name__ == "__main__":
    sys.exit(main())
