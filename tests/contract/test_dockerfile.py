"""Static checks of the Dockerfile."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

DOCKERFILE = Path("compose/Dockerfile")
HADOLINT = Path(sys.executable).parent / "hadolint"


def test_hadolint_finds_nothing() -> None:
    """And no rule is disabled."""
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE.read_text("utf-8")


def test_hadolint_detects_violations(tmp_path: Path) -> None:
    """The check can fail."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN pip install numpy\n", "utf-8")
    assert subprocess.run([HADOLINT, bad], capture_output=True, check=False).returncode != 0


def test_everything_installed_is_hashed() -> None:
    """Each installation uses a hashed lock, or only the wheel that was built."""
    text = DOCKERFILE.read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip install (.+)", text)
    assert len(installs) == 5
    assert [each for each in installs if "--require-hashes" not in each and "--no-deps --no-index" not in each] == []


def test_the_default_version_label_is_the_package_version() -> None:
    """An image has the version of its package unless another one is given."""
    version = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE) == [version]
