#!/bin/sh
# Regenerates the lock files from pyproject.toml. They have hashes and no URL, so any package index works.
# Needs a uv that supports dependency groups. Keeps the locked versions that are there; delete a lock file for the newest ones.
set -eu
cd "$(dirname "$0")/.."

compile() { # compile NAME [uv options]
  name=$1
  shift
  uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header \
    --no-annotate "$@" pyproject.toml --output-file "requirements/$name.lock"
}

# The largest first: the others use its versions as constraints.
compile dev --all-extras --group dev
for name in demo train; do
  compile "$name" --extra "$name" --constraint requirements/dev.lock
done
compile serve --extra auth --extra signing --extra tracing --constraint requirements/dev.lock

# The build requirements of the wheel, of the native core's, and of the documentation site.
for name in build native docs; do
  uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
    --constraint requirements/dev.lock "requirements/$name.in" --output-file "requirements/$name.lock"
done
