"""A model that nobody trusts yet, loaded and proved in a process of its own with limits on memory and time.

What it does there, it does to that process: it may hang, crash or eat memory. It is no sandbox: code in a pickle could
still touch files. No pickle is opened where a fast engine serves the model, and a signature says who made it.
`python -m scoring.candidate` is that process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import ArtifactError
from schemas.records import ModelRef
from scoring.scorer import Scorer

_MEMORY_BYTES: Final = 4 << 30
"""Address space, of which numpy and onnxruntime reserve more than they use."""
_PROCESSOR_SECONDS: Final = 60
_SECONDS: Final = 120
_TOLD_CHARACTERS: Final = 500


class Proof(msgspec.Struct, frozen=True):
    """What loading found: the model, its engine, and why it is not a fast one (None if it is)."""

    model: ModelRef
    engine: str
    fallback_reason: str | None


class _Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    reason: str


class _Proved(msgspec.Struct, frozen=True, tag="proof"):
    proof: Proof


def prove(folder: Path, name: str | None = None, public_key: Path | None = None) -> Proof:
    """Load and prove a model directory in a child process. Blocks for a second or two. Raises ArtifactError."""
    arguments = [str(folder), name or "", str(public_key or "")]
    # Nothing of this process's environment: no secret is there to be found.
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent), "OPENBLAS_NUM_THREADS": "1"}
    try:
        child = subprocess.run(  # noqa: S603  # this interpreter, and a path
            [sys.executable, "-m", "scoring.candidate", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"the model at {folder} did not load in {_SECONDS} seconds") from error
    try:
        answer = msgspec.json.decode(child.stdout, type=_Proved | _Refusal)
    except msgspec.MsgspecError as error:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told = "".join(last)[:_TOLD_CHARACTERS]
        raise ArtifactError(f"the process that loaded {folder} ended with code {child.returncode}: {told}") from error
    if isinstance(answer, _Refusal):
        raise ArtifactError(answer.reason)
    return answer.proof


def main(folder: str, name: str, public_key: str) -> None:
    """Load one model under limits, and print what was found as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: _Proved | _Refusal
    try:
        key = Path(public_key).read_bytes() if public_key else None
        scorer = Scorer.from_directory(Path(folder), name or None, public_key=key)
        answer = _Proved(Proof(scorer.model, scorer.engine, scorer.fallback_reason))
    except (ArtifactError, OSError) as error:
        answer = _Refusal(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
