"""The sample crud/exp_backoff with every request to CouchDB sent alone: to see what coalescing is worth."""

import functools
from unittest import mock

from samples.crud.exp_backoff.service import make_app
from tor_async_couchdb.documents import database
from tor_async_couchdb.wire.coalescer import Coalescer
from tor_async_service.app.run import run

# As many as there are connections.
_MAX_IN_FLIGHT = 64

if __name__ == "__main__":
    uncoalesced = functools.partial(Coalescer, max_size=1, max_in_flight=_MAX_IN_FLIGHT)
    with mock.patch.object(database, "Coalescer", uncoalesced):
        run(make_app, "Fruits, and every request for one sent to CouchDB alone.")
