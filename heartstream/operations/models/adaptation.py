"""`heartstream adapt`: from a labelled file, or from scores and outcomes on the topics."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
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
from training.adaptation import AdaptationRequest, AdaptationResult, Evidence, adapt
from training.data.frames import features, target
from training.data.labelled import LabelColumns, read_labelled
from training.evaluation.adaptation import LocalPatients, Rung, preprocessed
from training.evaluation.external_validation import training_patients
from training.pipeline import TrainingPatients, drop_duplicates

_MAX_OUTCOMES = 100_000


class LocalFile(msgspec.Struct, frozen=True):
    """A labelled file of local patients, and how it is to be read."""

    path: Path
    columns: LabelColumns = LabelColumns()
    coding: str | None = None
    options: TextOptions = TextOptions()


def adapt_directory(
    folder: Path,
    request: AdaptationRequest,
    name: str | None,
    public_key: Path | None,
    data: LocalFile | None,
    step: Callable[[str], None],
) -> tuple[Artifact, Evidence, AdaptationResult]:
    """Adapt a model directory by a file's patients, or without one by the outcomes on the topics."""
    try:
        key = None if public_key is None else public_key.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {public_key}: {error.strerror}") from error
    artifact = load(folder, name, key)
    if data is None and request.up_to is Rung.REFIT:
        raise SettingsError(("--up-to refit needs the fields of the patients: give --data FILE, not --outcomes",))
    evidence = _evidence_from_topics(artifact.model) if data is None else evidence_from_file(artifact, data)
    return artifact, evidence, adapt(artifact, folder, evidence, request, step)


def evidence_from_file(artifact: Artifact, data: LocalFile) -> Evidence:
    """Score labelled patients as worker and gateway do; those who trained the model are left out."""
    compiled = CompiledTable(artifact.table)
    found = read_labelled(data.path, compiled, data.coding, data.options, data.columns)
    frame, notes = found.frame, list(found.notes)
    trained = training_patients(artifact.manifest, frame, artifact.table)
    if trained is not None and trained.all():
        raise DataError(f"{data.path.name}: the model was trained on all of these patients; an adaptation needs others")
    if trained is not None and trained.any():
        notes.append(f"{int(trained.sum())} patients trained the model, and are left out")
        frame = frame[~trained].reset_index(drop=True)
    patients, duplicates = drop_duplicates(TrainingPatients(compiled, frame, None, data.path.name))
    if duplicates:
        notes.append(f"{duplicates} repeated row(s) left out")
    print_notes(data.path, notes)
    matrix = features(patients.frame)
    columns = preprocessed(matrix, patients.compiled)
    local = LocalPatients(target(patients.frame), Scorer(artifact).risks(matrix), columns)
    return Evidence(local, found.sha256, patients)


def _evidence_from_topics(model: ModelRef) -> Evidence:
    """Return the outcomes of this model's scores on the topics. Raises DataError if there are none."""
    settings = Settings.from_mapping(os.environ)
    with Reader.open(settings) as reader:
        joined = join_topics(reader, settings.topics, TopicRanges.of(reader, settings.topics), _MAX_OUTCOMES)
    pairs = joined.pairs.get(model, [])
    if not pairs:
        raise DataError(f"the topics have no outcome for a score of {model.name} {model.version} ({model.digest})")
    return evidence_of(pairs)


def evidence_of(pairs: list[Pair]) -> Evidence:
    """Return risks and outcomes, with a digest of both in the order in which the outcomes became known."""
    text = "".join(f"{pair.risk:.6f},{pair.outcome}\n" for pair in pairs)
    risks, labels = np.array([pair.risk for pair in pairs]), np.array([pair.outcome for pair in pairs], dtype=np.int64)
    return Evidence(LocalPatients(labels, risks), hashlib.sha256(text.encode()).hexdigest())
