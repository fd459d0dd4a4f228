"""Load and verify an untrusted model in a separate process, with limits on memory, time and output.

Unsigned pickles are not loaded there, so that no code of the model runs and its results can be trusted. A signed pickle
may hang, crash or exhaust memory, which only affects that process. It is not a sandbox: its code could access files.
`python -m scoring.isolated_load` is that process.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
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
_LIMITS: Final = {
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
        code = _run((str(folder), name or "", str(public_key or "")), seconds, output, errors)
        answer, error_text = _start_of(output), _start_of(errors)
    try:
        found = msgspec.json.decode(answer, type=_Verified | _Refusal)
    except msgspec.MsgspecError as error:
        last = error_text.decode(errors="replace").strip().splitlines()[-1:]
        text = "".join(last)[:_ERROR_CHARACTERS]
        raise ArtifactError(f"the process that loaded {folder} ended with code {code}: {text}") from error
    if isinstance(found, _Refusal):
        raise ArtifactError(found.reason)
    return found.verified


def _run(arguments: tuple[str, str, str], seconds: float, output: IO[bytes], errors: IO[bytes]) -> int:
    """Run the child with a timeout, then kill its process group; returns its exit code."""
    child = subprocess.Popen(  # noqa: S603  # this interpreter, and paths
        [sys.executable, "-P", "-B", "-m", "scoring.isolated_load", *arguments],
        # Without this process's environment, which may contain secrets.
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"the model at {arguments[0]} did not load in {seconds:g} seconds") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _start_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_OUTPUT_BYTES)


def main(folder: str, name: str, public_key: str) -> None:
    """Load one model under limits, with low priority, and print the result as JSON."""
    os.nice(_NICENESS)
    for limited, limit in _LIMITS.items():
        resource.setrlimit(limited, (limit, limit))
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
