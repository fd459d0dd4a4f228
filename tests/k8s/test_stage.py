"""`./run cluster` says at once, in one line, what would keep it from ending well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docker_cli import ROOT

CLAIM = {"items": [{"metadata": {"name": "standard", "annotations": {}}}]}


def run(path: Path, *arguments: object) -> tuple[int, str]:
    """Run it with the programs of one folder; returns the exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.k8s", *map(str, arguments)],
        env={**os.environ, "PATH": str(path), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def with_kubectl(folder: Path, classes: object, volumes: object) -> Path:
    """Write a kubectl that knows these storage classes and volumes and nothing else; returns its kubeconfig."""
    answers = {"storageclasses": json.dumps(classes), "persistentvolumes": json.dumps(volumes)}
    for kind, answer in answers.items():
        (folder / kind).write_text(answer)
    (folder / "kubectl").write_text(
        '#!/bin/sh\nfor word; do [ -f "$(dirname "$0")/$word" ] && exec /bin/cat "$(dirname "$0")/$word"; done\n'
        'echo "kubectl: $*: not in this cluster" >&2; exit 1\n'
    )
    (folder / "kubectl").chmod(0o755)
    (folder / "proof.conf").touch()
    (folder / "dirname").symlink_to("/usr/bin/dirname")
    return folder / "proof.conf"


def test_without_docker_it_says_so(tmp_path: Path) -> None:
    """Code 69, and the way to do without building."""
    code, told = run(tmp_path)
    assert (code, len(told.splitlines()), "no Docker engine" in told, "--no-build" in told) == (69, 1, True, True)


@pytest.mark.parametrize(("present", "wanted"), [(False, "there is no file"), (True, "kubectl is not installed")])
def test_without_a_cluster_it_says_so(tmp_path: Path, *, present: bool, wanted: str) -> None:
    """A kubeconfig that is not there, and a kubectl that is not."""
    (tmp_path / "is.conf").touch()
    code, told = run(tmp_path, "--no-build", "--kubeconfig", tmp_path / ("is.conf" if present else "is-not.conf"))
    assert (code, len(told.splitlines()), wanted in told) == (69, 1, True)


def test_a_cluster_that_gives_no_volumes_is_refused_at_once(tmp_path: Path) -> None:
    """Neither a default StorageClass nor a volume: models would wait for their volume for ever."""
    config = with_kubectl(tmp_path, CLAIM, {"items": [{"status": {"phase": "Bound"}}]})
    code, told = run(tmp_path, "--no-build", "--kubeconfig", config)
    assert (code, "no default StorageClass" in told, told.strip().endswith("standard")) == (69, True, True)


@pytest.mark.parametrize("default", [True, False])
def test_a_cluster_that_gives_volumes_is_used(tmp_path: Path, *, default: bool) -> None:
    """By a default StorageClass or by a volume that is there; then the first law is looked at."""
    named = {"metadata": {"name": "x", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    volumes = [] if default else [{"status": {"phase": "Available"}}]
    config = with_kubectl(tmp_path, {"items": [named]} if default else CLAIM, {"items": volumes})
    code, told = run(tmp_path, "--no-build", "--kubeconfig", config)
    assert (code, "not in this cluster" in told, "Traceback" in told) == (69, True, False)
