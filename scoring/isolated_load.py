"""Load and verify an untrusted model in a separate process, with limits on memory, time and output.

Unsigned pickles are not loaded there, so that no code of the model runs and its results can be trusted. A signed pickle
may hang, crash or exhaust memory, which only affects that process. It is not a sandbox: its code could access files.
`python -m scoring.isolated_load` is that process. `heartstream model import` opens other people's pickles in such a
process, too.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

import msgspec

from schemas.errors import ArtifactError
from schemas.records import ModelRef
from scoring.model_artifact import Artifact, load
from scoring.scorer import Scorer
from scoring.sklearn_fallback import Fitted

_MEMORY_BYTES: Final = 4 << 30
"""Address space, of which numpy and onnxruntime reserve more than they use."""
_PROCESSOR_SECONDS: Final = 60
_SECONDS: Final = 120
_OUTPUT_BYTES: Final = 1 << 20
LIMITS: Final[Mapping[int, int]] = {
    resource.RLIMIT_AS: _MEMORY_BYTES,
    resource.RLIMIT_CPU: _PROCESSOR_SECONDS,
    resource.RLIMIT_FSIZE: _OUTPUT_BYTES,
    resource.RLIMIT_CORE: 0,
}
_ERROR_CHARACTERS: Final = 500
_NICENESS: Final = 10


class VerifiedModel(msgspec.Struct, frozen=True):
    """The loaded model, its engine, and why it is not a fast one (None if it is).

    `sha256` is the artifact's: only an artifact with the same one was verified.
    """

    model: ModelRef
    sha256: str
    engine: str
    fallback_reason: str | None


class _Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    reason: str


class _Verified(msgspec.Struct, frozen=True, tag="verified"):
    verified: VerifiedModel


def verify_model(
    folder: Path, name: str | None = None, public_key: Path | None = None, seconds: float = _SECONDS
) -> VerifiedModel:
    """Load and verify a model directory in a child process. Blocks for a second or two. Raises ArtifactError.

    The directory may change meanwhile: only an artifact with the same SHA-256 was verified.
    """
    # Files, not pipes: their size is limited, and an orphaned grandchild cannot keep them open.
    with TemporaryFile() as output, TemporaryFile() as errors:
        arguments = (str(folder), name or "", str(public_key or ""))
        try:
            code = run_isolated("scoring.isolated_load", arguments, seconds, output, errors)
        except subprocess.TimeoutExpired as error:
            raise ArtifactError(f"the model at {folder} did not load in {seconds:g} seconds") from error
        answer, error_text = _start_of(output), last_line(errors)
    try:
        found = msgspec.json.decode(answer, type=_Verified | _Refusal)
    except msgspec.MsgspecError as error:
        raise ArtifactError(f"the process that loaded {folder} ended with code {code}: {error_text}") from error
    if isinstance(found, _Refusal):
        raise ArtifactError(found.reason)
    return found.verified


def run_isolated(module: str, arguments: Sequence[str], seconds: float, output: IO[bytes], errors: IO[bytes]) -> int:
    """Run a module as a child with a timeout, then kill its process group; returns its exit code.

    The module limits its own resources with `limit_resources`. Raises subprocess.TimeoutExpired.
    """
    child = subprocess.Popen(  # noqa: S603  # this interpreter, and paths
        [sys.executable, "-P", "-B", "-m", module, *arguments],
        # Without this process's environment, which may contain secrets; the same order of sets in each run.
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    try:
        return child.wait(seconds)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _start_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_OUTPUT_BYTES)


def last_line(errors: IO[bytes]) -> str:
    """Return the start of the last line that a child wrote to standard error."""
    return "".join(_start_of(errors).decode(errors="replace").strip().splitlines()[-1:])[:_ERROR_CHARACTERS]


def limit_resources(limits: Mapping[int, int]) -> None:
    """Limit this process, by the constants of `resource`, and lower its priority."""
    os.nice(_NICENESS)
    for limited, limit in limits.items():
        resource.setrlimit(limited, (limit, limit))


def main(folder: str, name: str, public_key: str) -> None:
    """Load one model under limits, with low priority, and print the result as JSON."""
    limit_resources(LIMITS)
    answer: _Verified | _Refusal
    try:
        key = Path(public_key).read_bytes() if public_key else None
        artifact = load(Path(folder), name or None, key)
        scorer = Scorer(artifact if key is not None else without_pickles(artifact))
        answer = _Verified(VerifiedModel(scorer.model, artifact.sha256, scorer.engine, scorer.fallback_reason))
    except ArtifactError as error:
        answer = _Refusal(str(error))
    except OSError as error:
        answer = _Refusal(f"cannot read {error.filename}: {error.strerror}")
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def without_pickles(artifact: Artifact) -> Artifact:
    """Return the artifact without its pickles, which could run code here."""
    return msgspec.structs.replace(artifact, fitted=_unsigned)


def _unsigned() -> Fitted:
    raise ArtifactError(
        "its pickles are not loaded, because no public key is configured: sign the model (heartstream model "
        "sign) and give the key (--public-key, HEARTSTREAM_MODEL__PUBLIC_KEY)"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
