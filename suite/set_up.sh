# Sourced by run_all_samples.sh and test_all_samples.sh: makes .venv from requirements.txt, unless it is there.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$name"
            return
        fi
    done
    return 1
}

# Shows how far pip is where somebody watches; it names a package before it fetches it.
count_packages() {
    local line count=0 total
    total=$(grep -c '==' requirements.txt)
    while IFS= read -r line; do
        case "$line" in
            Collecting*)
                count=$((count + 1))
                if [ -t 1 ]; then printf '\r  %d of %d packages' "$count" "$total"; fi
                ;;
        esac
    done
    if [ -t 1 ]; then printf '\r%40s\r' ''; fi
}

install_packages() {
    local python log=.run/logs/pip.log
    python=$(find_python) || fail 'Python 3.11 or newer is needed: install it, or set PYTHON to where it is.'
    mkdir -p .run/logs
    printf 'Installing the Python packages into .venv (once; about a minute) ...\n'
    if [ ! -x .venv/bin/pip ]; then
        "$python" -m venv .venv >"$log" 2>&1 ||
            fail "No virtual environment can be made: install Python's venv (Debian: python3-venv); see $log."
    fi
    .venv/bin/pip install --no-deps --retries 2 --timeout 15 --disable-pip-version-check \
        -r requirements.txt 2>"$log" | count_packages ||
        fail "The Python packages can't be installed: is there a network? pip's words are in $log."
    cp requirements.txt .venv/installed-requirements.txt
}

cmp -s requirements.txt .venv/installed-requirements.txt || install_packages
