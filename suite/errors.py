"""What the suite can't go on after."""


class SuiteError(Exception):
    """Something that only a person can mend; the text is one sentence that says what to do."""
