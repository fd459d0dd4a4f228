"""The peak memory that scoring a large file takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.cost import watched_peak_mb
from bench.file_peers import LINEAR
from bench.load import tell
from heartstream.files.formats import Format

MEMORY_ROWS: Final = 10_000_000
GOAL_MEMORY_MB: Final = 300


def peak_mb(source: Path, folder: Path, processes: int) -> float:
    """Run the command; return the peak memory of all its processes together, in MB. What they share counts once."""
    output = source.with_name("scored")
    command = [sys.executable, "-m", "heartstream", "score", str(source), "-o", str(output), "--force"]
    options = ["--model", str(folder), "--name", LINEAR, "--processes", str(processes)]
    with subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL) as running:
        most = watched_peak_mb(running)
    if running.returncode:
        raise SystemExit(f"heartstream score ended with exit code {running.returncode}")
    output.unlink()
    return most


def memory(folder: Path, rows: int, processes: Sequence[int], written: Callable[[Format], Path]) -> Iterator[str]:
    """Yield a table of the peak memory that scoring a large file takes."""
    yield "| format | rows | processes | peak memory |"
    yield "|---|---|---|---|"
    for kind in Format:
        source = written(kind)
        for number in processes:
            tell(f"{kind}, {number} processes")
            most = peak_mb(source, folder, number)
            goal = f"goal {GOAL_MEMORY_MB} {'met' if most <= GOAL_MEMORY_MB else 'MISSED'}"
            yield f"| {kind} | {rows:,} | {number} | {most:,.0f} MB ({goal}) |"
        source.unlink()
