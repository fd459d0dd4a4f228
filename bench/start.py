"""How soon the demo has its first score, with a model and everything installed.

Runs `heartstream demo` as a user does, and notes when it prints each of its first lines. The first run, which may have
to prepare the embedded broker, does not count.

example: python -m bench.start --rounds 5
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.load import tell
from bench.report import Spread
from heartstream.terminal.exit_codes import errors_to_exit_codes
from training.pipeline import TrainingRequest, train

GOAL_SECONDS: Final = 10.0
_STEPS: Final = {
    "broker ready": "broker: 127.",
    "worker ready": "worker: ready",
    "first score over HTTP": "gateway: POST",
    "first line of the stream": "in ",
}
"""Each step by how the demo's line about it begins."""
_ENDED: Final = "all records accounted for"
_GOAL_STEP: Final = "first line of the stream"


def measure(model: Path) -> Mapping[str, float]:
    """Run the demo once; returns the seconds from its start to each step. Raises RuntimeError if it fails."""
    command = [sys.executable, "-m", "heartstream", "demo", "--broker", "embedded", "--model", str(model)]
    started, found = time.monotonic(), dict[str, float]()
    with subprocess.Popen([*command, "--records", "500"], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            for step, beginning in _STEPS.items():
                if line.startswith(beginning):
                    found.setdefault(step, time.monotonic() - started)
    found[_ENDED] = time.monotonic() - started
    if process.returncode or len(found) <= len(_STEPS):
        raise RuntimeError(f"the demo ended with code {process.returncode}, after {', '.join(found)}")
    return found


def lines(rounds: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the table as aligned text."""
    text = [f"{'seconds':28}{'median':>9}{'min..max':>18}{'goal':>8}"]
    for step in (*_STEPS, _ENDED):
        spread = Spread.of([each[step] for each in rounds])
        goal = f"{GOAL_SECONDS:g}" if step == _GOAL_STEP else ""
        text.append(f"{step:28}{spread.median:>9.1f}{f'{spread.low:.1f}..{spread.high:.1f}':>18}{goal:>8}".rstrip())
    return text


@errors_to_exit_codes()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as folder:
        model = Path(folder) / "model"
        tell("training a model (not counted)")
        train(TrainingRequest(output=model, model_version="bench", quick=True))
        measure(model)
        rounds = []
        for number in range(asked.rounds):
            rounds.append(measure(model))
            tell(f"round {number + 1}/{asked.rounds}: {rounds[-1][_GOAL_STEP]:.1f} s")
    print(f"heartstream demo --broker embedded, {asked.rounds} rounds, {os.cpu_count()} cores")
    print("\n".join(lines(rounds)))


if __name__ == "__main__":
    main()
