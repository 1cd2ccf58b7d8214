"""The error that ends a run."""


class SuiteError(Exception):
    """The run can't go on. The text is one sentence that says what a person can do about it."""
