"""Contenders in other languages: built from their sources in bench/peers, the first time that they are needed.

Their versions are pinned there, in Cargo.toml and pom.xml. What is built lies beside the environments of
`bench.environments`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from bench.environments import ROOT, cache, interpreter
from bench.load import tell

_PEERS: Final = ROOT / "bench" / "peers"
_JVM: Final = ("-Xms256m", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error")


class Toolchain(msgspec.Struct, frozen=True):
    """What a peer is built with: the commands that must be installed, and functions of the folder to build in.

    `build` is the command that builds it, `run` the one that runs it, without the contender's own arguments.
    """

    needs: tuple[str, ...]
    build: Callable[[Path], list[str]]
    run: Callable[[Path], list[str]]


def _cargo(folder: Path) -> list[str]:
    manifest = str(_PEERS / "rust" / "Cargo.toml")
    options = ["--release", "--quiet", "--manifest-path", manifest, "--target-dir", str(folder)]
    return ["cargo", "build", *options]


def _maven(folder: Path) -> list[str]:
    options = ["--quiet", "--batch-mode", "--strict-checksums", "--file", str(_PEERS / "kafka-streams" / "pom.xml")]
    return ["mvn", *options, f"-Dbuild={folder}", "compile", "dependency:copy-dependencies"]


def _java(folder: Path) -> list[str]:
    return ["java", *_JVM, "-cp", f"{folder}/classes:{folder}/libs/*", "heartstream.ScoringApp"]


TOOLCHAINS: Final[Mapping[str, Toolchain]] = {
    "rust": Toolchain(("cargo", "cc", "make"), _cargo, lambda folder: [str(folder / "release" / "heartstream-peer")]),
    "kafka-streams": Toolchain(("mvn", "java", "javac"), _maven, _java),
}
"""By the contender's environment."""


def missing_tools(environment: str | None) -> list[str]:
    """Return the commands that a contender's environment needs and that are not installed."""
    toolchain = TOOLCHAINS.get(environment or "")
    return [] if toolchain is None else [name for name in toolchain.needs if shutil.which(name) is None]


def command(environment: str | None) -> list[str]:
    """Return what runs a contender's arguments: a Python, or what was built of its sources; builds it if need be.

    Raises RuntimeError if that fails.
    """
    if environment is None or environment not in TOOLCHAINS:
        return [interpreter(environment)]
    toolchain, folder = TOOLCHAINS[environment], cache() / environment
    if not is_built(environment):
        tell(f"building bench/peers/{environment} in {folder} (once)")
        folder.mkdir(parents=True, exist_ok=True)
        _build(environment, toolchain.build(folder))
        _stamp(environment).write_text(_digest(_PEERS / environment), encoding="utf-8")
    return toolchain.run(folder)


def is_built(environment: str) -> bool:
    """Return whether a toolchain's peer is there, built from its present sources."""
    stamp = _stamp(environment)
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _digest(_PEERS / environment)


def _stamp(environment: str) -> Path:
    return cache() / environment / "built"


def _build(environment: str, words: list[str]) -> None:
    try:
        done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        raise RuntimeError(f"cannot build bench/peers/{environment}: {error}") from error
    if done.returncode:
        reason = next((line.strip() for line in done.stdout.splitlines() if "error" in line.lower()), "no reason given")
        raise RuntimeError(f"cannot build bench/peers/{environment}: {reason}")


def _digest(sources: Path) -> str:
    found = hashlib.sha256()
    for file in _files(sources):
        found.update(f"{file.relative_to(sources)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def _files(sources: Path) -> Iterable[Path]:
    """Yield a peer's sources, not what a build beside them has left."""
    return sorted(file for file in sources.rglob("*") if file.is_file() and "target" not in file.parts)
