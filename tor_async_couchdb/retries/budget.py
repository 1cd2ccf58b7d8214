"""How many retries a `Database` may make: enough for a hiccup, hardly any while CouchDB is overloaded."""


class RetryBudget:
    """A token bucket: a retry takes a token, and each success puts a part of one back.

    While everything fails nothing is put back, so the retries end, and they do not keep down a database that
    is overloaded. With the defaults, 10,000 requests that find a full bucket are sent at most 10,480 times if
    all of them fail, and about 11,030 times if each attempt fails with a probability of one half. (Site
    Reliability Engineering, chapter 22, "Retries"; Finagle's RetryBudget.)
    """

    def __init__(self, *, max_tokens: float = 480.0, tokens_per_success: float = 0.1) -> None:
        self._max_tokens = self._tokens = max_tokens
        self._tokens_per_success = tokens_per_success

    @property
    def tokens(self) -> float:
        """How many retries may be made now."""
        return self._tokens

    @property
    def is_empty(self) -> bool:
        """Whether there is no token for a retry."""
        return self._tokens < 1.0

    def spend(self) -> None:
        """Takes the token of a retry."""
        self._tokens -= 1.0

    def earn(self) -> None:
        """Puts back what a success is worth."""
        self._tokens = min(self._max_tokens, self._tokens + self._tokens_per_success)
