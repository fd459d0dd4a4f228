"""Virtual environments for what is measured, made from hashed lock files the first time that they are needed.

They live under $XDG_CACHE_HOME/heartstream/bench (or ~/.cache). A peer often wants other versions of the Kafka client
than the worker; of what the scoring core needs, all have the worker's versions. `SERVE` is what the worker has in
production, and no more: scikit-learn, for one, loads pandas wherever it finds it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from bench.load import tell

ROOT: Final = Path(__file__).resolve().parent.parent
SERVE: Final = "serve"
_LOCKS: Final = ROOT / "requirements"


def interpreter(environment: str | None) -> str:
    """Return the Python of an environment; makes the environment if it is not there, or not current.

    Raises RuntimeError if that fails: no package index, or no wheels for this platform.
    """
    if environment is None:
        return sys.executable
    lock = _LOCKS / f"{environment}.lock" if environment == SERVE else _LOCKS / "peers" / f"{environment}.lock"
    folder = cache() / environment
    python, stamp = folder / "bin" / "python", folder / "installed"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return str(python)
    tell(f"installing {lock.name} into {folder} (once)")
    venv.create(folder, clear=True, with_pip=True)
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
    command = [str(python), "-m", "pip", "install", *options, "--requirement", str(lock)]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(f"cannot install {lock.name}: {last}")
    if environment == SERVE:
        _introduce_heartstream(python)
    stamp.write_text(digest, encoding="utf-8")
    return str(python)


def _introduce_heartstream(python: Path) -> None:
    """Leave the distribution's metadata, for the worker asks for its own version; its code comes from PYTHONPATH."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([str(python), "-c", ask], check=True, stdout=subprocess.PIPE, text=True)
    ours = distribution("heartstream")
    folder = Path(answer.stdout.strip()) / f"heartstream-{ours.version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(ours.read_text("METADATA") or "", encoding="utf-8")


def cache() -> Path:
    """Return the folder of what the benchmarks install and build."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "heartstream" / "bench"
