#!/usr/bin/env bash
# Makes a service of your own from a sample, or brings one what its sample has changed since; --help says how.
caller=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/suite/set_up.sh" new_service.options "$@"
exec .venv/bin/python -m new_service --caller "$caller" "$@"
