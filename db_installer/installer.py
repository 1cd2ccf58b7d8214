"""Creates and upgrades the samples' database; see `python -m db_installer.installer --help`."""

import sys

from db_installer.folders import REVS_LIMIT, SEED_DOCS_FOLDER
from db_installer.languages import add_language, design_docs_folder
from tor_async_couchdb.installer import CommandLineParser, main

if __name__ == "__main__":
    parser = CommandLineParser(
        "Creates or upgrades the database of the samples; running it again changes nothing.",
        default_database="tor_async_couchdb_sample",
        revs_limit_if_new=REVS_LIMIT,
    )
    add_language(parser)
    options = parser.parse_args()
    folder = design_docs_folder(
        options.language, options.host, verify_host_ssl_cert=options.verify_host_ssl_cert
    )
    sys.exit(main(parser, folder, SEED_DOCS_FOLDER))
