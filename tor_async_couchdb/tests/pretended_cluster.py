"""A database on one node that looks like one on a cluster."""

import json

import yarl
from aiohttp import web

from tor_async_couchdb.testing.fault_proxy import Fault, Request

COPIES = 3


def cluster_of(database_url: str, *, has_majority: bool = True) -> Fault:
    """CouchDB says that it keeps three copies; without a majority it answers writes of documents with 202."""
    database_path = yarl.URL(database_url).path

    async def fault(request: Request) -> web.StreamResponse:
        answer = await request.forward()
        if request.method == "GET" and request.path == database_path:
            information = json.loads(answer.text or "")
            return web.json_response(information | {"cluster": {"q": 2, "n": COPIES, "w": 2, "r": 2}})
        if request.method == "PUT" and not has_majority:
            return web.Response(status=202, body=answer.body, content_type="application/json")
        if request.path.endswith("/_bulk_docs") and has_majority and answer.status == 202:
            # One node has fewer copies than were asked for, and says so.
            rows = [
                {name: value for name, value in row.items() if name != "accepted"}
                for row in json.loads(answer.text or "")
            ]
            return web.json_response(rows, status=201)
        return answer

    return fault
