"""Contenders in other languages are built once, and again when their sources change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import toolchains
from bench.toolchains import command, missing_tools

Build = Callable[[str], Path]


@pytest.fixture
def cargo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return what installs a `cargo` with a script; its sources and what it builds lie in the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(toolchains, "_PEERS", tmp_path / "peers")
    for folder in ("bin", "peers/rust"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "peers" / "rust" / "main.rs").write_text("fn main() {}", encoding="utf-8")

    def install(script: str) -> Path:
        file = tmp_path / "bin" / "cargo"
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)
        return tmp_path

    return install


def test_it_is_built_once_for_the_same_sources(cargo: Build) -> None:
    """The sources decide, not how often it runs."""
    folder = cargo('echo built >> "$XDG_CACHE_HOME/builds"')
    (folder / "cache").mkdir()
    found = [command("rust"), command("rust")]
    (folder / "peers" / "rust" / "main.rs").write_text("fn main() { panic!() }", encoding="utf-8")
    found.append(command("rust"))
    program = folder / "cache" / "heartstream" / "bench" / "rust" / "release" / "heartstream-peer"
    assert found == [[str(program)]] * 3
    assert (folder / "cache" / "builds").read_text(encoding="utf-8").splitlines() == ["built"] * 2


def test_a_failed_build_is_reported_in_one_line_and_tried_again(cargo: Build) -> None:
    """The first line that names an error, of all that a compiler prints."""
    cargo("echo compiling; echo 'error: no such crate'; exit 1")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^cannot build bench/peers/rust: error: no such crate$"):
            command("rust")


def test_python_needs_no_other_tools() -> None:
    """Neither this project's environment, nor a peer's."""
    assert (missing_tools(None), missing_tools("bytewax")) == ([], [])
