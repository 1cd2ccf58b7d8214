#!/usr/bin/env bash
# Sets everything up and runs the service until Ctrl-C, on the stand-in for CouchDB or on that of COUCHDB_URL.
source "$(dirname "${BASH_SOURCE[0]}")/set_up.sh"
exec "$VENV/bin/python" -m tor_async_service.local my_service.service --database my_service \
    --design-docs database/design_docs --seed-docs database/seed_docs --port 8445 "$@" -- OWN_OPTIONS
