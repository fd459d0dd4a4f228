#!/bin/sh
# Makes the lock files anew from pyproject.toml. They hold hashes and no address, so any package index serves.
# Needs a uv that knows dependency groups. Takes the newest versions; `git checkout requirements` first keeps those that are there.
set -eu
cd "$(dirname "$0")/.."

compile() { # compile NAME [uv options]
  name=$1
  shift
  uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header \
    --no-annotate "$@" pyproject.toml --output-file "requirements/$name.lock"
}

# The largest first: the others take its versions.
compile dev --all-extras --group dev
for name in demo train; do
  compile "$name" --extra "$name" --constraint requirements/dev.lock
done
compile serve --extra auth --extra signing --extra tracing --constraint requirements/dev.lock

# What makes the wheel.
uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
  --constraint requirements/dev.lock requirements/build.in --output-file requirements/build.lock
