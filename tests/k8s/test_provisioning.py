"""`./run cluster` reports missing prerequisites at once, in one line."""

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
    """Run it with the programs of one folder; return the exit code and the output."""
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
    """Write a kubectl that only knows these storage classes and volumes; return its kubeconfig."""
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


def test_missing_docker_is_reported(tmp_path: Path) -> None:
    """Without Docker the exit code is 69, and the error has the option to skip building."""
    code, output = run(tmp_path)
    assert (code, len(output.splitlines()), "no Docker engine" in output, "--no-build" in output) == (69, 1, True, True)


@pytest.mark.parametrize(("present", "wanted"), [(False, "there is no file"), (True, "kubectl is not installed")])
def test_a_missing_cluster_is_reported(tmp_path: Path, *, present: bool, wanted: str) -> None:
    """A missing kubeconfig or kubectl is reported with exit code 69."""
    (tmp_path / "is.conf").touch()
    code, output = run(tmp_path, "--no-build", "--kubeconfig", tmp_path / ("is.conf" if present else "is-not.conf"))
    assert (code, len(output.splitlines()), wanted in output) == (69, 1, True)


def test_a_cluster_without_volumes_is_refused(tmp_path: Path) -> None:
    """Without a default StorageClass or a volume, the model's claim would stay pending."""
    config = with_kubectl(tmp_path, CLAIM, {"items": [{"status": {"phase": "Bound"}}]})
    code, output = run(tmp_path, "--no-build", "--kubeconfig", config)
    assert (code, "no default StorageClass" in output, output.strip().endswith("standard")) == (69, True, True)


@pytest.mark.parametrize("default", [True, False])
def test_a_cluster_with_volumes_is_used(tmp_path: Path, *, default: bool) -> None:
    """A default StorageClass or an available volume is enough."""
    named = {"metadata": {"name": "x", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    volumes = [] if default else [{"status": {"phase": "Available"}}]
    config = with_kubectl(tmp_path, {"items": [named]} if default else CLAIM, {"items": volumes})
    code, output = run(tmp_path, "--no-build", "--kubeconfig", config)
    assert (code, "not in this cluster" in output, "Traceback" in output) == (69, True, False)
