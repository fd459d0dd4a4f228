"""The Dockerfile, looked at without building it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

DOCKERFILE = Path("compose/Dockerfile")
HADOLINT = Path(sys.executable).parent / "hadolint"


def test_hadolint_finds_nothing() -> None:
    """No rule of hadolint is broken or switched off."""
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE.read_text("utf-8")


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    """The check can fail."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN pip install numpy\n", "utf-8")
    assert subprocess.run([HADOLINT, bad], capture_output=True, check=False).returncode != 0


def test_everything_installed_is_hashed() -> None:
    """Each installation takes a hashed lock, or the wheel that was made here and nothing else."""
    text = DOCKERFILE.read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip install (.+)", text)
    assert len(installs) == 5
    assert [each for each in installs if "--require-hashes" not in each and "--no-deps --no-index" not in each] == []


def test_the_labelled_version_is_the_packages() -> None:
    """An image says the version that its package has, where no other one is asked for."""
    version = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE) == [version]
