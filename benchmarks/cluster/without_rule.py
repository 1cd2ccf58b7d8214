"""Runs a sample's service as if its database kept one copy of each document, so that no write is sealed.

SERVICE_MODULE=samples.crud.basic.service python -m benchmarks.cluster.without_rule OPTIONS
"""

import os
import runpy

from tor_async_couchdb.documents.cluster import ChosenRule


async def _one(self: ChosenRule) -> int:
    return 1


if __name__ == "__main__":
    ChosenRule.copies = _one  # type: ignore[method-assign]  # what a client without the rule assumes
    runpy.run_module(os.environ["SERVICE_MODULE"], run_name="__main__", alter_sys=True)
