"""Checks a change of the served model against the store's plan.

A figure that is not known breaks its rule. That a recalibration is nothing but a shift is not taken from its
description: the numbers of both models are compared. All of this is about the best model of a directory, which is
served unless HEARTSTREAM_MODEL__NAME names another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from heartstream.operations.models.change_plan import ChangePlan, Recalibration, Retraining
from schemas.errors import ArtifactError
from scoring.features import Matrix
from scoring.files import read_file
from scoring.logistic import logistic
from scoring.model_artifact import ADAPTATION_FILE, REPORT_FILE, TABLE_FILE, Manifest, read_manifest

_RESULTS: Final = ("golden_risks", "golden_answers")
"""The parts of a portable model's file that are results of the reference cases. Verification computes them again."""
_KEPT: Final = ("threshold", "missing_patterns", "training_range", "data")
"""The fields of a manifest that a shift leaves as they are."""
_TOLERANCE: Final = 1e-9
_Kind = TypeVar("_Kind")


class Kind(StrEnum):
    """What a model is, compared with the served one."""

    RETRAINING = "retraining"
    RECALIBRATION = "recalibration"
    OTHER_RECALIBRATION = "recalibration of another model"
    REFIT = "refit on a hospital's own patients"
    UNPROVEN_RECALIBRATION = "recalibration that changes more than the intercept"
    UNADAPTED = "retraining in place of a model that was adapted to this hospital"


class _Line(msgspec.Struct, frozen=True):
    intercept: float


class _Rung(msgspec.Struct, frozen=True):
    brier: float


class Shift(msgspec.Struct, frozen=True):
    """The last adaptation of a model: what of `adaptation.json` is checked. `line` is None for a refit."""

    base_digest: str
    patients: int
    events: int
    line: _Line | None
    before: _Rung
    after: _Rung


class _Figure(msgspec.Struct, frozen=True):
    value: float


class _Performance(msgspec.Struct, frozen=True):
    figures: dict[str, _Figure]


class _Report(msgspec.Struct, frozen=True):
    """What of a report is checked: the performance by set of missing fields and model."""

    missing_fields: dict[str, dict[str, _Performance]]


class _Adaptations(msgspec.Struct, frozen=True):
    done: tuple[Shift, ...]


class ModelFacts(msgspec.Struct, frozen=True):
    """What is known of a model: its manifest, out-of-fold figures of its report, and its last recalibration."""

    folder: Path
    digest: str
    manifest: Manifest
    figures: dict[str, float]
    shift: Shift | None

    @classmethod
    def of(cls, folder: Path) -> ModelFacts:
        """Read a verified model directory. Raises ArtifactError if a file has another format."""
        manifest, digest = read_manifest(folder)
        report = _content(folder, manifest, REPORT_FILE, _Report)
        found = report.missing_fields.get("none", {}).get(manifest.best) if report else None
        figures = {name: each.value for name, each in found.figures.items()} if found else {}
        adaptations = _content(folder, manifest, ADAPTATION_FILE, _Adaptations)
        shift = adaptations.done[-1] if adaptations and adaptations.done else None
        return cls(folder, digest, manifest, figures, shift)

    @property
    def table(self) -> str:
        """The feature table: its identifier, and the SHA-256 of its file."""
        return f"{self.manifest.feature_table} ({self.manifest.files[TABLE_FILE].sha256[:16]})"

    def portable(self) -> dict[str, Any]:
        """Return the numbers of the best model, {} if it has none."""
        file = self.manifest.models[self.manifest.best].plain
        return (file and _content(self.folder, self.manifest, file, dict[str, Any])) or {}


def _content(folder: Path, manifest: Manifest, name: str, kind: type[_Kind]) -> _Kind | None:
    """Return a JSON file of a model, None if the manifest does not list it."""
    entry = manifest.files.get(name)
    if entry is None:
        return None
    try:
        return msgspec.json.decode(read_file(folder / name, entry.size), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{name} has not the expected format: {error}") from error


def violations(plan: ChangePlan, served: Path | None, candidate: Path, *, is_signed: bool) -> tuple[str, ...]:
    """Return each rule that a candidate breaks, with both values. `is_signed`: its signature was verified."""
    if served is None:
        return ("first_model: there is no served model to compare with",)
    before, after = ModelFacts.of(served), ModelFacts.of(candidate)
    if before.digest == after.digest:
        return ()
    return tuple(_broken(plan, before, after, is_signed=is_signed))


def _broken(plan: ChangePlan, before: ModelFacts, after: ModelFacts, *, is_signed: bool) -> Iterator[str]:
    if plan.signed and not is_signed:
        yield "signed: a signature is required, none was verified (--public-key)"
    if before.table != after.table:
        yield f"same_table: {before.table} is served, the model has {after.table}"
    if before.manifest.threshold != after.manifest.threshold:
        yield f"same_threshold: {before.manifest.threshold:g} is served, the model has {after.manifest.threshold:g}"
    kind = kind_of(before, after)
    if kind is Kind.RETRAINING and plan.retraining:
        yield from _retraining(plan.retraining, before, after)
    elif kind is Kind.RECALIBRATION and plan.recalibration and after.shift and after.shift.line:
        yield from _recalibration(plan.recalibration, after.shift, after.shift.line.intercept)
    else:
        allowed = [name for name in ("retraining", "recalibration") if getattr(plan, name)]
        yield f"kind: {' and '.join(allowed) or 'no change'} allowed, this is a {kind}"


def kind_of(before: ModelFacts, after: ModelFacts) -> Kind:
    """Return the kind of a change."""
    if after.shift is None:
        return Kind.RETRAINING if before.shift is None else Kind.UNADAPTED
    if after.shift.line is None:
        return Kind.REFIT
    if after.shift.base_digest != before.digest:
        return Kind.OTHER_RECALIBRATION
    return Kind.RECALIBRATION if _is_shift(before, after, after.shift.line.intercept) else Kind.UNPROVEN_RECALIBRATION


class _Linear(msgspec.Struct, frozen=True):
    """The numbers of a linear model: `kept` and `tables` are what a shift leaves as it is; it moves the others.

    `line` is that of earlier recalibrations, which sub-models of unlisted missing patterns are derived with.
    """

    kept: dict[str, Any]
    tables: dict[str, Any]
    intercepts: list[float]
    line: tuple[float, float]
    reaches: tuple[Any, Any]
    label_limits: Any

    @classmethod
    def of(cls, portable: dict[str, Any]) -> _Linear:
        """Raises ValidationError if the model is not linear."""
        linear, tables = (msgspec.convert(portable.get(name), dict[str, Any]) for name in ("linear", "uncertainty"))
        intercepts = msgspec.convert(linear.pop("intercepts", None), list[float])
        line = msgspec.convert(linear.pop("line", (0.0, 1.0)), tuple[float, float])
        reaches = tables.pop("reach", None), tables.pop("sampling_reach", None)
        limits = tables.pop("label_limits", None)
        kept = {name: part for name, part in portable.items() if name not in (*_RESULTS, "uncertainty")}
        return cls({**kept, "linear": linear}, tables, intercepts, line, reaches, limits)

    def line_after(self, applied: float) -> tuple[float, float]:
        """Return the line after a shift. Without a covariance no sub-model is derived, and the line stays as it is."""
        shift, slope = self.line
        return (shift + applied if "covariance" in self.kept["linear"] else shift), slope


def _is_shift(before: ModelFacts, after: ModelFacts, applied: float) -> bool:
    """Return whether two models differ by this shift of all log-odds and nothing else.

    Label limits move with the risks. Intervals may grow, as the shift is itself uncertain, but not shrink.
    """
    try:
        served, candidate = (_Linear.of(each.portable()) for each in (before, after))
    except msgspec.ValidationError:
        return False
    return (
        all(getattr(before.manifest, name) == getattr(after.manifest, name) for name in _KEPT)
        and (served.kept, served.tables) == (candidate.kept, candidate.tables)
        and _are_close(np.array(served.intercepts) + applied, np.array(candidate.intercepts))
        and _are_close(np.array(served.line_after(applied)), np.array(candidate.line))
        and _are_close(_moved(_table(served.label_limits), applied), _table(candidate.label_limits))
        and not any(map(_shrinks, served.reaches, candidate.reaches))
    )


def _table(raw: Any) -> Matrix:
    """Return a table of a model's file as an array; null is NaN."""
    return np.array(raw, np.float64)


def _moved(risks: Matrix, applied: float) -> Matrix:
    with np.errstate(divide="ignore"):
        return logistic(applied + np.log(risks) - np.log1p(-risks))


def _are_close(expected: Matrix, found: Matrix) -> bool:
    return expected.shape == found.shape and np.allclose(expected, found, rtol=0, atol=_TOLERANCE, equal_nan=True)


def _shrinks(served: Any, candidate: Any) -> bool:
    """Return whether a table of reaches has a smaller one, or another shape."""
    old, new = _table(served), _table(candidate)
    return (
        old.shape != new.shape
        or not np.array_equal(np.isnan(old), np.isnan(new))
        or bool((new < old - _TOLERANCE).any())
    )


def _retraining(limits: Retraining, before: ModelFacts, after: ModelFacts) -> Iterator[str]:
    if limits.same_algorithm and before.manifest.best != after.manifest.best:
        yield f"retraining.same_algorithm: {before.manifest.best} is served, the model is {after.manifest.best}"
    data = after.manifest.data
    yield from _enough("retraining", limits, data.rows, data.positives)
    yield from _worse("retraining.max_roc_auc_loss", limits.max_roc_auc_loss, before, after, "roc_auc", sign=-1)
    yield from _worse("retraining.max_brier_increase", limits.max_brier_increase, before, after, "brier", sign=1)
    slope, (low, high) = after.figures.get("slope"), limits.calibration_slope
    if slope is None or not low <= slope <= high:
        yield f"retraining.calibration_slope: {low:g} to {high:g} allowed, it is {_known(slope)}"


def _recalibration(limits: Recalibration, shift: Shift, applied: float) -> Iterator[str]:
    yield from _enough("recalibration", limits, shift.patients, shift.events)
    if not abs(applied) <= limits.max_shift:
        yield f"recalibration.max_shift: {limits.max_shift:g} allowed, the log-odds were shifted by {applied:+g}"
    if not shift.after.brier - shift.before.brier <= limits.max_brier_increase:
        yield (
            f"recalibration.max_brier_increase: {limits.max_brier_increase:g} allowed, "
            f"{shift.before.brier:g} before and {shift.after.brier:g} after"
        )


def _enough(kind: str, limits: Retraining | Recalibration, patients: int, events: int) -> Iterator[str]:
    if patients < limits.min_patients:
        yield f"{kind}.min_patients: {limits.min_patients} required, there are {patients}"
    if events < limits.min_events:
        yield f"{kind}.min_events: {limits.min_events} required, there are {events}"


def _worse(rule: str, limit: float, before: ModelFacts, after: ModelFacts, name: str, *, sign: int) -> Iterator[str]:
    """Yield the rule if a figure worsens by more than the limit; `sign` is 1 if more is worse."""
    old, new = before.figures.get(name), after.figures.get(name)
    if old is None or new is None or not sign * (new - old) <= limit:
        yield f"{rule}: {limit:g} allowed, {_known(old)} is served, the model has {_known(new)}"


def _known(figure: float | None) -> str:
    return "not known" if figure is None else f"{figure:.4g}"
