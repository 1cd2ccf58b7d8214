# Sourced by the commands with the module that checks their options, and with the options:
# checks these, and makes .venv from requirements.txt, unless it is there.

set -euo pipefail
checking_module=$1
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

# The version of a Python, such as 3.12.1; nothing if it is none.
version_of() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || true
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local name version found=''
    if [ -n "${PYTHON:-}" ]; then
        version=$(version_of "$PYTHON")
        [ -n "$version" ] || fail "PYTHON is $PYTHON, which is no Python: set it to one of 3.11 or newer, or unset it."
        is_new_enough "$PYTHON" || fail "PYTHON is $PYTHON, which is Python $version: 3.11 or newer is needed."
        printf '%s' "$PYTHON"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$name"; then
            printf '%s' "$name"
            return
        fi
        version=$(version_of "$name")
        if [ -n "$version" ]; then found="$found, $name is $version"; fi
    done
    if [ -n "$found" ]; then found="here ${found#, }"; else found='here is none'; fi
    fail "Python 3.11 or newer is needed, and $found: install it, or set PYTHON to where it is."
}

# Runs a command whose output goes to a log; shows how long it has taken, where somebody watches.
with_clock() {
    local log=$1 started=$SECONDS pid
    shift
    "$@" >>"$log" 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null; exit 130' INT TERM
    while [ -t 1 ] && kill -0 $pid 2>/dev/null; do
        printf '\r  %s %d s' "$(progress "$log")" $((SECONDS - started))
        sleep 0.5
    done
    if [ -t 1 ]; then printf '\r%60s\r' ''; fi
    trap - INT TERM
    wait $pid
}

# pip names a package before it fetches it, and says when it begins to unpack them.
progress() {
    local count
    if grep -q '^Installing collected' "$1"; then
        printf 'unpacking them,'
        return
    fi
    count=$(grep -c '^Collecting' "$1" || true)
    if [ "$count" -gt 0 ]; then printf '%d of %d packages,' "$count" "$(grep -c == requirements.txt)"; fi
}

install_packages() {
    local python=$1 log=.run/logs/pip.log
    mkdir -p .run/logs
    : >"$log"
    if [ ! -x .venv/bin/pip ]; then
        printf 'Making .venv, with %s ...\n' "$python"
        with_clock "$log" "$python" -m venv .venv ||
            fail "No virtual environment can be made: install Python's venv (Debian: python3-venv); see $log."
    fi
    printf 'Installing the Python packages into .venv (once; about a minute) ...\n'
    with_clock "$log" .venv/bin/pip install --no-deps --retries 2 --timeout 15 --disable-pip-version-check \
        --progress-bar off -r requirements.txt ||
        fail "The Python packages can't be installed: is there a network? pip's words are in $log."
    cp requirements.txt .venv/installed-requirements.txt
}

# It is not needed where everything is installed, but a wrong one is a mistake that has to be said.
if [ -n "${PYTHON:-}" ]; then find_python >/dev/null; fi

if ! cmp -s requirements.txt .venv/installed-requirements.txt; then
    python=$(find_python)
    # Before minutes are spent on packages: are the options right, or do they only ask for help?
    options=0
    "$python" -m $checking_module "$@" || options=$?
    if [ $options -ne 0 ]; then exit $options; fi
    for option in "$@"; do
        case "$option" in -h | --help) exit 0 ;; esac
    done
    install_packages "$python"
fi
