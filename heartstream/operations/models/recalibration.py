"""`heartstream model recalibrate`: from a labelled file, or from scores and outcomes on the topics."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from heartstream.files.notes import print_notes
from heartstream.monitoring.outcomes.join import Pair
from heartstream.monitoring.outcomes.topics import TopicRanges, join_topics
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from schemas.errors import DataError, DependencyError, SettingsError
from schemas.read_options import TextOptions
from schemas.records import ModelRef
from scoring.compiled_table import CompiledTable
from scoring.model_artifact import Artifact, load
from scoring.scorer import Scorer
from training.data.frames import features, target
from training.data.labelled import read_labelled
from training.export.recalibrated_model import ObservedOutcomes, recalibrate

_MAX_OUTCOMES = 100_000


def recalibrate_directory(  # a command's options
    folder: Path,
    output: Path,
    data: Path | None,
    name: str | None,
    public_key: Path | None,
    *,
    from_topics: bool,
    options: TextOptions = TextOptions(),  # noqa: B008  # it is frozen
) -> str:
    """Recalibrate a model directory; returns a summary."""
    if (data is None) == (not from_topics):
        raise SettingsError(
            ("give either labelled patients (--data FILE) or --outcomes, to read them from the topics",)
        )
    try:
        key = None if public_key is None else public_key.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {public_key}: {error.strerror}") from error
    artifact = load(folder, name, key)
    evidence = _evidence_from_topics(artifact.model) if data is None else _evidence_from_file(artifact, data, options)
    made, verified = recalibrate(artifact, folder, evidence, output)
    estimated = made.estimated
    return (
        f"{output} is {verified.model.name} {verified.model.version} ({verified.model.digest})\n"
        f"log-odds {made.applied:+.3f}, of an estimated {estimated.value:+.2f} ({estimated.low:+.2f} to "
        f"{estimated.high:+.2f}), by {made.patients} outcomes\n"
        f"mean risk {made.mean_risk_before:.3f} -> {made.mean_risk_after:.3f}, "
        f"with {artifact.table.outcome.event} {made.events / made.patients:.3f}; "
        f"Brier of these patients {made.brier_before:.4f} -> {made.brier_after:.4f}\n"
    )


def _evidence_from_file(artifact: Artifact, data: Path, options: TextOptions) -> ObservedOutcomes:
    """Score labelled patients as worker and gateway do."""
    patients = read_labelled(data, CompiledTable(artifact.table), options=options)
    print_notes(data, patients.notes)
    return ObservedOutcomes(Scorer(artifact).risks(features(patients.frame)), target(patients.frame), patients.sha256)


def _evidence_from_topics(model: ModelRef) -> ObservedOutcomes:
    """Return the outcomes of this model's scores on the topics. Raises DataError if there are none."""
    settings = Settings.from_mapping(os.environ)
    with Reader.open(settings) as reader:
        joined = join_topics(reader, settings.topics, TopicRanges.of(reader, settings.topics), _MAX_OUTCOMES)
    pairs = joined.pairs.get(model, [])
    if not pairs:
        raise DataError(f"the topics have no outcome for a score of {model.name} {model.version} ({model.digest})")
    return evidence_of(pairs)


def evidence_of(pairs: list[Pair]) -> ObservedOutcomes:
    """Return risks and outcomes, with a digest of both in the order in which the outcomes became known."""
    text = "".join(f"{pair.risk:.6f},{pair.outcome}\n" for pair in pairs)
    risks, labels = np.array([pair.risk for pair in pairs]), np.array([pair.outcome for pair in pairs], dtype=np.int64)
    return ObservedOutcomes(risks, labels, hashlib.sha256(text.encode()).hexdigest())
