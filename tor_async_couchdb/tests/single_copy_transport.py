"""A transport that needs no CouchDB to say that there is one copy of each document."""

import yarl

from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.wire.transport import Response, Transport


class SingleCopyTransport(Transport):
    """Answers the question that comes before the first write, and sends all other requests."""

    def __init__(self, observer: Observer | None = None) -> None:
        super().__init__(
            validate_cert=True,
            timeout_s=10,
            observer=observer or Observer(),
            retry_budget=RetryBudget(),
        )

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        """See `Transport.exchange`."""
        if method == "GET" and url.raw_path.count("/") == 1:
            return Response(200, b'{"db_name":"db","cluster":{"n":1}}', method, url.raw_path)
        return await super().exchange(method, url, body, deadline_s)
