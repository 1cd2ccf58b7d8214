# Sourced by run.sh and test.sh: makes .venv from the requirements, unless it is there.
# VENV names another environment to use, which has all of the packages already.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -z "${VENV:-}" ]; then
    VENV=.venv
    if ! cat requirements.txt requirements-dev.txt | cmp -s - .venv/installed-requirements.txt; then
        printf 'Installing the packages into .venv (once; about a minute) ...\n'
        python=${PYTHON:-python3}
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            printf 'Python 3.11 or newer is needed: set PYTHON to where it is.\n' >&2
            exit 1
        }
        "$python" -m venv .venv
        mkdir -p .run
        # Python compiles what it imports; to compile all of it takes longer than the rest.
        .venv/bin/pip install --no-deps --no-compile --disable-pip-version-check -r requirements-dev.txt \
            >.run/pip.log 2>&1 || {
            tail -n 5 .run/pip.log >&2
            printf "The packages can't be installed: is there a network? .run/pip.log has all of pip's words.\n" >&2
            exit 1
        }
        cat requirements.txt requirements-dev.txt >.venv/installed-requirements.txt
    fi
fi
