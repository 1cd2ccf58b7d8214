#!/usr/bin/env bash
# Sets everything up, runs all samples on one database, puts them under load, and shows what happened.
source "$(dirname "${BASH_SOURCE[0]}")/suite/set_up.sh" 'suite.options run_all_samples.sh' "$@"
exec .venv/bin/python -m suite.run "$@"
