"""The TLA+ model checker, tla-checker: built by Cargo at a fixed version, and run on one configuration."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.errors import DependencyError

VERSION: Final = "0.24.11"
CRATE_SHA256: Final = "b8818344833b33648a9dc6d205bac705da77d3b9ea1bfbcf347262a874196c9a"
_NO_LIMIT: Final = ("--max-states", "1000000000", "--max-depth", "1000000")
_OWN_LINES: Final = 20
"""Of the checker's last words, so many are shown."""


class Result(msgspec.Struct, frozen=True):
    """What the checker found in one configuration.

    `violated` is the invariant or property that does not hold, "" if all do, and `trace` the names of the actions that
    lead there. `depth` is that of the state graph or, where something is violated, the length of the trace.
    """

    violated: str
    states: int
    depth: int
    seconds: float
    trace: tuple[str, ...] = ()


def installed() -> Path | None:
    """Return the checker's executable, if this version of it is installed."""
    path = _home() / "bin" / "tla"
    return path if path.is_file() else None


def install() -> Path:
    """Install the checker with Cargo unless it is there; raises DependencyError if that cannot be done."""
    found = installed()
    if found is not None:
        return found
    cargo = shutil.which("cargo")
    if cargo is None:
        raise DependencyError("the model checker is built by Cargo, which is not installed: install Rust's toolchain")
    where = _home()
    command = [cargo, "install", "tla-checker", "--version", f"={VERSION}", "--locked", "--root", str(where)]
    if subprocess.run(command, check=False).returncode:
        raise DependencyError("Cargo could not install the model checker; see its output above")
    crates = list(_cargo_home().glob(f"registry/cache/*/tla-checker-{VERSION}.crate"))
    if not crates or any(hashlib.sha256(crate.read_bytes()).hexdigest() != CRATE_SHA256 for crate in crates):
        shutil.rmtree(where)
        raise DependencyError(f"tla-checker {VERSION} does not have the expected checksum: it is not used")
    return where / "bin" / "tla"


def check(tla: Path, module: Path, constants: Mapping[str, str], config: Path, *, liveness: bool) -> Result:
    """Explore all states of a module; raises DependencyError if the checker itself fails."""
    options = [option for name, value in constants.items() for option in ("-c", f"{name}={value}")]
    if liveness:
        options.append("--check-liveness")
    command = [str(tla), str(module), "--config", str(config), "--json", *_NO_LIMIT, *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("{")), None)
    if line is None:
        raise DependencyError(f"the model checker failed on {module.name}:\n{_tail(done.stderr)}")
    return read(msgspec.json.decode(line))


def read(told: Mapping[str, Any]) -> Result:
    """Read what the checker says as JSON."""
    stats = told.get("stats", {})
    states, seconds = int(stats.get("states_explored", 0)), float(stats.get("elapsed_secs", 0.0))
    if told["status"] == "ok":
        return Result("", states, int(stats["max_depth"]), seconds)
    trace = tuple(step["action"] for step in told.get("trace", ()) if step["action"])
    name = told.get("invariant_name") or told.get("property") or told["status"]
    return Result(name, states, len(trace), seconds, trace)


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "heartstream" / f"tla-checker-{VERSION}"


def _cargo_home() -> Path:
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-_OWN_LINES:])
