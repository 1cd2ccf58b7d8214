"""Installs a database on CouchDB: creates it, its design documents and its seed documents.

A service's own installer is a folder of each and five lines::

    parser = CommandLineParser("creates the service's database", default_database="fruits")
    sys.exit(main(parser, "design_docs", "seed_docs"))

Running it again changes nothing, running it on a newer folder upgrades the database while it is in use.
`install` does the same from code.
"""

from tor_async_couchdb.installer.command_line import CommandLineParser, main
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.installation import install

__all__ = ["CommandLineParser", "InstallerError", "install", "main"]
