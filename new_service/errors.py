"""The error that a user sees."""


class NewServiceError(Exception):
    """Nothing was made or changed. The message says what was wrong, in which argument or file."""
