#!/bin/sh
# Makes the peers' lock files anew, for the benchmark only: the peer as pinned in PEER.in, and what the scoring core needs
# in the very versions that the worker has (from ../dev.lock). Hashes and no address, so any package index serves.
# Needs uv. Made for Python 3.11, which the worker's own environment uses.
set -eu
cd "$(dirname "$0")"

core=$(mktemp)
trap 'rm -f "$core"' EXIT
sed -n "s/^\(\(msgspec\|numpy\|scikit-learn\|scipy\|joblib\|onnxruntime\)==[^ ]*\) *\(; python_full_version < '3.12'\)\{0,1\} *\\\\*$/\1/p" \
  ../dev.lock >"$core"

for wanted in *.in; do
  uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
    --constraint "$core" "$wanted" "$core" --output-file "${wanted%.in}.lock"
done
