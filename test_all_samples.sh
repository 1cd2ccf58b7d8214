#!/usr/bin/env bash
# Sets everything up, runs all checks and tests, then tests.py against each sample as a running service.
source "$(dirname "${BASH_SOURCE[0]}")/suite/set_up.sh" 'suite.options test_all_samples.sh' "$@"
exec .venv/bin/python -m suite.test "$@"
