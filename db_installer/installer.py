"""Creates and upgrades the samples' database; see `python -m db_installer.installer --help`."""

import sys
from pathlib import Path

from tor_async_couchdb.installer import CommandLineParser, main

DESIGN_DOCS_FOLDER = Path(__file__).parent / "design_docs"
SEED_DOCS_FOLDER = Path(__file__).parent / "seed_docs"

if __name__ == "__main__":
    parser = CommandLineParser(
        "Creates or upgrades the database of the samples; running it again changes nothing.",
        default_database="tor_async_couchdb_sample",
    )
    sys.exit(main(parser, DESIGN_DOCS_FOLDER, SEED_DOCS_FOLDER))
