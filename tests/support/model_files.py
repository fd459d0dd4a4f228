"""Model directories with changed files: bytes, manifests and hostile pickles."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

from schemas.errors import ArtifactError
from scoring.model_artifact import BEST_MODEL_FILE, MANIFEST_FILE, PREPROCESSOR_FILE, load

PICKLES = (
    PREPROCESSOR_FILE,
    BEST_MODEL_FILE,
    "logistic_regression.joblib",
    "pattern_submodels.joblib",
    "random_forest.joblib",
)


def pickled(thing: object) -> bytes:
    target = io.BytesIO()
    joblib.dump(thing, target)
    return target.getvalue()


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Write a file and its digest, as an attacker who can write the manifest could."""
    (folder / name).write_bytes(content)
    change_manifest(folder, lambda manifest: manifest["files"].update({name: measured(content)}))


def measured(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
    change(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest), "utf-8")


def change_byte(path: Path) -> None:
    """Change one byte in the middle of a file; its size stays the same."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def refusal(folder: Path, name: str | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(folder, name)
    return str(caught.value)


class Runs:
    """An object whose unpickling calls a function with arguments."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> object:
        return self.call


def with_only_pickles(folder: Path, pickle: object) -> Path:
    """Make scikit-learn serve the model, from this pickle, with its digest in the manifest."""
    replace_file(folder, "pattern_submodels.json", b"{}")
    replace_file(folder, PREPROCESSOR_FILE, pickled(pickle))
    return folder


class Trap:
    """Writes a file when it is unpickled, as any pickle may."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        """Make pickle call `mark.touch()`."""
        return Path.touch, (self.mark,)
