"""How many retries a `Database` may make: many for a hiccup, hardly any while CouchDB is in trouble."""


class RetryBudget:
    """A bucket of tokens: a retry takes one, and a request that succeeds puts a part of one back.

    While everything fails nothing is put back, so that the retries end, and clients that have to ask again do
    not keep a database down that they overwhelmed. With the defaults 10,000 requests that find the bucket
    full are sent at most 10,480 times if all of them fail, and about 11,030 times if each try fails with a
    probability of one half. (Site Reliability Engineering, chapter 22, "Retries"; Finagle's RetryBudget.)
    """

    def __init__(self, *, max_tokens: float = 480.0, tokens_per_success: float = 0.1) -> None:
        self._max_tokens = self._tokens = max_tokens
        self._tokens_per_success = tokens_per_success

    @property
    def is_empty(self) -> bool:
        """Whether there is no token left for a retry."""
        return self._tokens < 1.0

    def spend(self) -> None:
        """Takes the token of a retry."""
        self._tokens -= 1.0

    def earn(self) -> None:
        """Puts back what a success is worth."""
        self._tokens = min(self._max_tokens, self._tokens + self._tokens_per_success)
