"""The names of revisions, such as `3-b1946ac92492d2347c6235b4d2611184`."""


def generation_and_hash(rev: str) -> tuple[int, str]:
    """The two parts of a revision's name; in their order CouchDB ranks the live leaves of a document.

    https://docs.couchdb.org/en/stable/replication/conflicts.html
    """
    generation, _, revision_hash = rev.partition("-")
    return int(generation), revision_hash
