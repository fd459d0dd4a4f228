"""Adapts a model to a hospital's own patients: chooses a rung, and writes the new model directory. Start at `adapt`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from schemas.errors import ArtifactError, DataError
from scoring.compiled_table import CompiledTable
from scoring.isolated_load import VerifiedModel
from scoring.model_artifact import ADAPTATION_FILE, CARD_DATA_FILE, MANIFEST_FILE, Artifact, FileEntry
from training.candidates import local_candidate
from training.estimates import bootstrap_weights
from training.evaluation.adaptation import Ladder, LocalModel, LocalPatients, Rung, climb
from training.evaluation.inputs import QUICK, REFIT
from training.evaluation.metrics import Performance, hospital_performance
from training.export.model_directory import (
    as_json,
    model_files,
    new_manifest,
    refuse_foreign_folder,
    verify_files,
    write_files,
)
from training.export.recalibrated_files import linear_model, recalibrated_files
from training.pipeline import TrainingPatients, evaluate_and_fit, evaluation_inputs
from training.report.adapted_card import (
    Adaptation,
    Adaptations,
    adapted_documents,
    findings,
    recalibrated_documents,
)
from training.report.model_card import Card


@dataclass(frozen=True, slots=True)
class Evidence:
    """Local patients with known outcomes, and the SHA-256 of their source.

    `frame` are the rows behind `local`, without duplicates, for a refit; None for outcomes from the topics.
    """

    local: LocalPatients
    sha256: str
    frame: TrainingPatients | None = None

    @property
    def kind(self) -> str:
        """What the evidence consists of."""
        return "outcomes" if self.frame is None else "patients"


@dataclass(frozen=True, slots=True)
class AdaptationRequest:
    """Where to write the adapted model, and how.

    `up_to` is the highest rung to try, None the highest that the patients suffice for. A `quick` refit is evaluated
    with fewer repeats, and its intervals use fewer bootstrap samples; its risks are the same.
    """

    output: Path
    up_to: Rung | None = None
    seed: int = 42
    quick: bool = False


@dataclass(frozen=True, slots=True)
class AdaptationResult:
    """The model's validation as it is, the ladder, and what both show in plain words.

    `verified` is the new model, None if none was written.
    """

    validation: Performance
    ladder: Ladder
    findings: tuple[str, ...]
    verified: VerifiedModel | None


def adapt(
    artifact: Artifact,
    folder: Path,
    evidence: Evidence,
    request: AdaptationRequest,
    step: Callable[[str], None] = lambda _step: None,
) -> AdaptationResult:
    """Adapt the model directory `folder`, loaded as `artifact`; write and verify the new one, if there is a change.

    Opens the model's pickle. Blocks for seconds, a refit for a minute. Raises DataError if the patients are too few or
    were used before, ArtifactError for a model that cannot be adapted, SettingsError if the output cannot be written.
    """
    refuse_foreign_folder(request.output)
    before = _earlier(artifact, folder)
    if evidence.sha256 in (each.data_sha256 for each in before):
        raise DataError(f"{folder} was already adapted with these outcomes; another adaptation needs other patients")
    linear_model(artifact)
    classifier = artifact.fitted().classifier
    step("cross-validating each rung")
    compiled = CompiledTable(artifact.table) if evidence.frame is None else evidence.frame.compiled
    ladder = climb(evidence.local, LocalModel.like(classifier, compiled), request.seed, request.up_to)
    found = findings(ladder, evidence.local, artifact.table.outcome.event)
    result = AdaptationResult(_validation(artifact, evidence.local, request.seed), ladder, found, None)
    if ladder.decision in {Rung.KEEP, Rung.REFUSE}:
        return result
    done = (*before, _adaptation(artifact, evidence, result))
    if ladder.line is None:
        contents = _refitted(artifact, evidence, request, done, step)
    else:
        version = _version(done[-1])
        documents = recalibrated_documents(artifact, version, ladder.line, done)
        contents = recalibrated_files(artifact, ladder.line, version, documents)
    step("verifying the model")
    verified = verify_files(contents, "adapted")
    write_files(request.output, contents)
    return replace(result, verified=verified)


def _validation(artifact: Artifact, local: LocalPatients, seed: int) -> Performance:
    weights = bootstrap_weights(len(local.labels), seed, REFIT.bootstraps)
    return hospital_performance(local.labels, local.risks, artifact.manifest.threshold, weights)


def _earlier(artifact: Artifact, folder: Path) -> tuple[Adaptation, ...]:
    entry = artifact.manifest.files.get(ADAPTATION_FILE)
    if entry is None:
        return ()
    content = (folder / ADAPTATION_FILE).read_bytes()
    if FileEntry.of(content) != entry:
        raise ArtifactError(f"{folder} changed while it was read")
    return msgspec.json.decode(content, type=Adaptations).done


def _adaptation(artifact: Artifact, evidence: Evidence, result: AdaptationResult) -> Adaptation:
    model, local, ladder = artifact.model, evidence.local, result.ladder
    return Adaptation(
        rung=ladder.decision,
        model=model.name,
        table=artifact.table.identifier,
        table_sha256=artifact.table.digest,
        base_version=model.version,
        base_digest=model.digest,
        evidence=evidence.kind,
        data_sha256=evidence.sha256,
        patients=len(local.labels),
        events=int(local.labels.sum()),
        mean_risk_before=float(local.risks.mean()),
        validation=result.validation,
        before=ladder.of(Rung.KEEP),
        after=ladder.of(ladder.decision),
        prevalence=ladder.prevalence,
        rungs=ladder.rungs,
        not_tried=ladder.not_tried,
        findings=result.findings,
        line=ladder.line,
        shift=ladder.shift.shift,
        refit_size=ladder.refit_size,
    )


def _version(made: Adaptation) -> str:
    return f"{made.base_version}{'.' if '+' in made.base_version else '+'}{made.rung}.{made.data_sha256[:8]}"


def _refitted(
    artifact: Artifact,
    evidence: Evidence,
    request: AdaptationRequest,
    done: tuple[Adaptation, ...],
    step: Callable[[str], None],
) -> dict[str, bytes]:
    """Evaluate and fit the local candidate as a training run does; return the files of its directory."""
    if evidence.frame is None:
        raise TypeError("a refit needs the fields of the patients")
    candidates = (local_candidate(artifact.fitted().classifier),)
    depth, threshold = QUICK if request.quick else REFIT, artifact.manifest.threshold
    inputs = evaluation_inputs(evidence.frame, request.seed, threshold, depth, candidates)
    fitted = evaluate_and_fit(inputs, _version(done[-1]), step)
    card = msgspec.json.decode(fitted.models.documents[CARD_DATA_FILE], type=Card)
    documents = {**fitted.models.documents, **adapted_documents(card, fitted.evaluation, done)}
    models = replace(fitted.models, documents=documents)
    files = model_files(models)
    return {**files, MANIFEST_FILE: as_json(new_manifest(models, files))}
