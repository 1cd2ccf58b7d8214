"""What can go wrong with the stand-in."""


class EmbeddedCouchDBError(Exception):
    """The stand-in can't be installed or started; the message is one sentence that says what to do."""
