"""A saved model on other patients: is it any good where it is to be used?"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from scoring.patterns import pattern_name, patterns_of
from scoring.scorer import Scorer
from training.assess import THRESHOLDS, at_threshold, bins, groups
from training.data import digest, features, target
from training.measures import FEWEST, Performance, performance, prevalence_brier, samples, with_both
from training.report import Bin, Threshold

_BOOTSTRAPS: Final = 500
_PATTERNS: Final = 6


class Elsewhere(msgspec.Struct, frozen=True):
    """How a model did on some patients; groups are by sex, age and chest pain, patterns by what was missing."""

    model: str
    model_version: str
    model_digest: str
    data_sha256: str
    patients: int
    events: int
    threshold: float
    prevalence_brier: float
    overall: Performance
    calibration: tuple[Bin, ...]
    thresholds: tuple[Threshold, ...]
    groups: dict[str, Performance]
    patterns: dict[str, Performance]

    def as_json(self) -> bytes:
        """Write it, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def evaluate_elsewhere(folder: Path, name: str | None, frame: pd.DataFrame, seed: int = 42) -> Elsewhere:
    """Evaluate a model directory's model on labelled patients. Blocks for seconds. Raises ArtifactError."""
    scorer = Scorer.from_directory(folder, name)
    matrix, labels = features(frame), target(frame)
    risks, threshold = scorer.risks(matrix), scorer.manifest.threshold
    names = np.array([pattern_name(pattern) for pattern in patterns_of(matrix).tolist()])
    common = pd.Series(names).value_counts().index[:_PATTERNS]

    def measured(who: np.ndarray) -> Performance:
        weights = with_both(samples(int(who.sum()), seed, _BOOTSTRAPS), labels[who])
        return performance(labels[who], risks[who], threshold, weights)

    enough = min(labels.sum(), len(labels) - labels.sum()) >= FEWEST
    return Elsewhere(
        model=scorer.model.name,
        model_version=scorer.model.version,
        model_digest=scorer.model.digest,
        data_sha256=digest(frame),
        patients=len(labels),
        events=int(labels.sum()),
        threshold=threshold,
        prevalence_brier=prevalence_brier(labels),
        overall=measured(np.ones(len(labels), dtype=bool)),
        calibration=tuple(bins(labels, risks)) if enough else (),
        thresholds=tuple(at_threshold(labels, risks, at) for at in THRESHOLDS) if enough else (),
        groups={group: measured(who) for group, who in groups(matrix).items() if who.any()},
        patterns={pattern: measured(names == pattern) for pattern in common},
    )
