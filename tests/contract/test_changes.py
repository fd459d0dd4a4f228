"""Release notes are taken from the changelog."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHANGELOG = """# Changelog

## Unreleased

- not yet

## 0.2.0 - 2026-12-01

### Added
- this

## 0.2

- other
"""


def changes(version: str, changelog: Path) -> tuple[int, str]:
    done = subprocess.run([".ci/changes", version, changelog], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


def test_the_section_of_a_version_is_printed(tmp_path: Path) -> None:
    """Exactly its lines; a version that is a prefix of another is not confused with it."""
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(CHANGELOG, "utf-8")
    assert changes("0.2.0", changelog) == (0, "### Added\n- this")
    assert changes("0.2", changelog) == (0, "- other")


def test_a_version_without_a_section_is_refused(tmp_path: Path) -> None:
    """There is no release without notes."""
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(CHANGELOG, "utf-8")
    assert changes("0.3.0", changelog) == (1, "")
