"""A saved model on other patients: is it any good where it is to be used?"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from scoring.features import Mask
from scoring.missingness import pattern_name, patterns_of
from scoring.model_artifact import Manifest
from scoring.scorer import Scorer
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, digest, features, read_snapshot, row_keys, target
from training.data.labelled import Labelled
from training.estimates import FEWEST, Estimate, samples, wilson, with_both
from training.evaluation.curves import at_thresholds, bins
from training.evaluation.label_sets import Coverage, coverage
from training.evaluation.metrics import Performance, performance, performance_elsewhere, prevalence_brier
from training.evaluation.results import Bin, Threshold, as_document
from training.evaluation.subgroups import groups

_BOOTSTRAPS: Final = 500
_FEWEST_BOOTSTRAPS: Final = 100
_MOST_DRAWN: Final = 5_000_000
"""Of many patients fewer samples are drawn: they agree, and memory has an end."""
_PATTERNS: Final = 6
_MOST_SITES: Final = 12
"""More values in a column called site are no hospitals."""


class Elsewhere(msgspec.Struct, frozen=True):
    """How a model did on some patients.

    `data_sha256` is the file's. `trained_on` counts the patients that the model knows from training, on whom any
    model looks too good; None where the training rows are neither these nor a hospital's that ship with
    heartstream. `groups` are by sex, age and chest pain, `sites` by hospital if there are several, `patterns` by
    what was missing, the commonest. With fewer than 20 patients of either outcome there are no bins or thresholds,
    no figures of groups and patterns, and none of all or of a hospital that rest on that outcome; share, mean risk
    and counts are there always.
    """

    model: str
    model_version: str
    model_digest: str
    data_sha256: str
    patients: int
    events: int
    trained_on: int | None
    threshold: float
    share: Estimate
    mean_risk: float
    prevalence_brier: float
    overall: Performance
    calibration: tuple[Bin, ...]
    thresholds: tuple[Threshold, ...]
    coverage: Coverage | None
    groups: dict[str, Performance]
    sites: dict[str, Performance]
    patterns: dict[str, Performance]

    def as_json(self) -> bytes:
        """Write it, indented."""
        return as_document(self)


def evaluate_elsewhere(folder: Path, name: str | None, data: Labelled, seed: int = 42) -> Elsewhere:
    """Evaluate a model directory's model on labelled patients. Blocks for seconds. Raises ArtifactError."""
    scorer = Scorer.from_directory(folder, name)
    matrix, labels = features(data.frame), target(data.frame)
    risks, threshold = scorer.risks(matrix), scorer.manifest.threshold

    def hospital(who: Mask) -> Performance:
        return performance_elsewhere(labels[who], risks[who], threshold, _drawn(int(who.sum()), seed))

    def part(who: Mask) -> Performance:
        weights = with_both(_drawn(int(who.sum()), seed), labels[who])
        return performance(labels[who], risks[who], threshold, weights)

    events = int(labels.sum())
    enough = min(events, len(labels) - events) >= FEWEST
    return Elsewhere(
        model=scorer.model.name,
        model_version=scorer.model.version,
        model_digest=scorer.model.digest,
        data_sha256=data.sha256,
        patients=len(labels),
        events=events,
        trained_on=_trained_on(scorer.manifest, data.frame),
        threshold=threshold,
        share=wilson(events, len(labels)),
        mean_risk=float(risks.mean()),
        prevalence_brier=prevalence_brier(labels),
        overall=hospital(np.ones(len(labels), dtype=bool)),
        calibration=tuple(bins(labels, risks)) if enough else (),
        thresholds=tuple(at_thresholds(labels, risks, threshold)) if enough else (),
        coverage=coverage(matrix, labels, risks, scorer.uncertainty.label_limits),
        groups={group: part(who) for group, who in groups(matrix).items() if who.any()},
        sites={site: hospital(who) for site, who in _sites(data.frame).items()},
        patterns={pattern: part(who) for pattern, who in _patterns(matrix).items()},
    )


def _drawn(patients: int, seed: int) -> npt.NDArray[np.float64]:
    return samples(patients, seed, min(_BOOTSTRAPS, max(_FEWEST_BOOTSTRAPS, _MOST_DRAWN // patients)))


def _trained_on(manifest: Manifest, frame: pd.DataFrame) -> int | None:
    candidates = (frame, *(read_snapshot((site,)) for site in SITES))
    renamed = (rows.assign(site=TRAINING_SITE) for rows in candidates)
    known = next((rows for rows in renamed if digest(rows) == manifest.data.sha256), None)
    if known is None:
        return None
    taught = {*row_keys(known)}
    return sum(row in taught for row in row_keys(frame))


def _sites(frame: pd.DataFrame) -> dict[str, Mask]:
    sites = sorted(frame["site"].unique())
    if not 1 < len(sites) <= _MOST_SITES:
        return {}
    return {site: (frame["site"] == site).to_numpy() for site in sites}


def _patterns(matrix: npt.NDArray[np.float64]) -> dict[str, Mask]:
    patterns = patterns_of(matrix)
    different, counts = np.unique(patterns, return_counts=True)
    common = different[np.argsort(-counts, kind="stable")][:_PATTERNS]
    return {pattern_name(pattern): patterns == pattern for pattern in common.tolist()}
