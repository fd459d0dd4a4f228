"""Finds the models of stored scores by their digests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from schemas.errors import ArtifactError
from schemas.records import Details, ModelRef, Score
from scoring.model_artifact import MAKE_MODEL, MANIFEST_FILE, read_manifest
from scoring.scorer import Scorer


class ModelDirectories:
    """Model directories: one, or a folder of them such as a model store. Raises ArtifactError if there is none."""

    def __init__(self, folder: Path, public_key: bytes | None) -> None:
        self._public_key = public_key
        folders = [folder, *sorted(folder.glob("*/"))] if folder.is_dir() else []
        found = [each for each in folders if (each / MANIFEST_FILE).is_file()]
        if not found:
            raise ArtifactError(f"no model at {folder}, nor in a folder of it: {MAKE_MODEL}")
        self._folders = {read_manifest(each, public_key)[1]: each for each in found}
        self._scorer = cache(self._load)

    def scorer(self, score: Score) -> Scorer | None:
        """Return the scorer that made a score, None if its model is missing. Raises ArtifactError."""
        return self._scorer(score.model, details_of(score)) if score.model.digest in self._folders else None

    def _load(self, model: ModelRef, details: Details) -> Scorer:
        return Scorer.from_directory(self._folders[model.digest], model.name, details, self._public_key)


def details_of(score: Score) -> Details:
    """Return the options with which a score was made; reasons that the model does not provide are null."""
    reasons = score.reasons
    return Details(
        interval=score.interval is not msgspec.UNSET,
        label_set=score.label_set is not msgspec.UNSET,
        reasons=0 if reasons is msgspec.UNSET else 1 if reasons is None else max(1, len(reasons)),
        measure_next=score.measure_next is not msgspec.UNSET,
        input_digest=score.input_digest is not msgspec.UNSET,
    )
