#!/bin/sh
# Write the lock files anew from pyproject.toml, with hashes and for every platform. Needs uv (`UV=` names it).
# No index address is written: each machine takes packages from where its own pip is told to, and checks hashes.
set -eu

uv=${UV:-uv}
command -v "$uv" >/dev/null 2>&1 || { echo "lock: uv not found; install it, or name it: UV=/path/to/uv" >&2; exit 1; }

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"
}

compile --extra dev --extra tape pyproject.toml -o requirements/dev.lock
# What users run and what builds the project are cut from the same versions that the tests ran with.
compile -c requirements/dev.lock pyproject.toml -o requirements/base.lock
compile -c requirements/dev.lock --extra postgresql-server pyproject.toml -o requirements/postgresql.lock
compile -c requirements/dev.lock requirements/build.in -o requirements/build.lock
