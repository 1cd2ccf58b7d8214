#!/usr/bin/env bash
# Sets everything up, then runs all checks and tests; options are pytest's.
source "$(dirname "${BASH_SOURCE[0]}")/set_up.sh"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
exec "$VENV/bin/python" -m tor_async_service.local my_service.service --database my_service \
    --design-docs database/design_docs --seed-docs database/seed_docs --while "$(printf '%q ' "$VENV/bin/pytest" -q "$@")" -- OWN_OPTIONS
