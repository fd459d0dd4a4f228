"""A change-control plan allows what it says, and every other change breaks a rule by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from heartstream.operations.models.change_check import ModelFacts, violations
from schemas.errors import ArtifactError
from scoring.model_artifact import ADAPTATION_FILE, REPORT_FILE, load
from scoring.portable_model import PortableModel, read_portable
from scoring.scorer import Scorer
from tests.support.change_plans import BEST, PLAN, plan_of, retrained, worse
from tests.support.model_files import change_manifest, replace_file
from tests.support.models import another_version
from training.adaptation import AdaptationRequest, Evidence, adapt
from training.data.frames import features, read_snapshot, target
from training.evaluation.adaptation import LocalPatients, Rung

UNPROVEN: Final = (
    "kind: retraining and recalibration allowed, this is a recalibration that changes more than the intercept"
)


@pytest.fixture(scope="module")
def recalibrated(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, recalibrated by the outcomes of another hospital's patients."""
    rows = read_snapshot(("switzerland",))
    risks = Scorer.from_directory(model_dir).risks(features(rows))
    folder = tmp_path_factory.mktemp("recalibrated") / "model"
    evidence = Evidence(LocalPatients(target(rows), risks), "0" * 64)
    adapt(load(model_dir), model_dir, evidence, AdaptationRequest(folder, Rung.INTERCEPT))
    return folder


@pytest.mark.parametrize(
    ("figure", "by", "rule"),
    [
        ("roc_auc", -0.019, ""),
        ("roc_auc", -0.021, "retraining.max_roc_auc_loss: 0.02 allowed"),
        ("roc_auc", 0.05, ""),
        ("brier", 0.009, ""),
        ("brier", 0.011, "retraining.max_brier_increase: 0.01 allowed"),
        ("brier", -0.05, ""),
        ("slope", 0.3, "retraining.calibration_slope: 0.8 to 1.25 allowed"),
        ("slope", -0.3, "retraining.calibration_slope: 0.8 to 1.25 allowed"),
    ],
)
def test_a_retraining_stays_within_its_limits(
    figure: str, by: float, rule: str, model_dir: Path, tmp_path: Path
) -> None:
    """Each figure is compared with the served model's, and both are named; a slope is judged by itself."""
    candidate = retrained(model_dir, tmp_path / "new", worse(figure, by))
    old = ModelFacts.of(model_dir).figures[figure]
    served = "it is" if figure == "slope" else f"{old:.4g} is served, the model has"
    found = violations(plan_of(tmp_path), model_dir, candidate, is_signed=False)
    assert found == ((f"{rule}, {served} {old + by:.4g}",) if rule else ())


def test_figures_that_are_not_known_are_refused(model_dir: Path, tmp_path: Path) -> None:
    """All of them, of either model."""
    unknown = retrained(model_dir, tmp_path / "new")
    found = violations(plan_of(tmp_path), model_dir, unknown, is_signed=False)
    assert [each.partition(":")[0] for each in found] == [
        "retraining.max_roc_auc_loss",
        "retraining.max_brier_increase",
        "retraining.calibration_slope",
    ]
    assert all("not known" in each for each in found)
    (before, _) = violations(plan_of(tmp_path), unknown, model_dir, is_signed=False)
    assert "not known is served" in before


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda manifest: manifest["data"].update(rows=299), ["retraining.min_patients: 300 required, there are 299"]),
        (lambda manifest: manifest["data"].update(positives=99), ["retraining.min_events: 100 required, there are 99"]),
        (
            lambda manifest: manifest.update(feature_table="another-1"),
            ["same_table: uci-heart-1988/1 (", "the model has another-1 ("],
        ),
        (
            lambda manifest: manifest.update(best="random_forest"),
            ["retraining.same_algorithm: pattern_submodels is served, the model is random_forest"],
        ),
    ],
)
def test_data_table_and_algorithm_are_compared(
    change: Callable[[dict[str, Any]], object], rules: list[str], model_dir: Path, tmp_path: Path
) -> None:
    """Each rule is named, with both values."""
    folder = tmp_path / "new"
    shutil.copytree(model_dir, folder)
    change_manifest(folder, change)
    found = violations(plan_of(tmp_path), model_dir, folder, is_signed=False)
    assert all(rule in "\n".join(found) for rule in rules)


def test_a_signature_can_be_required(model_dir: Path, tmp_path: Path) -> None:
    """It must have been verified."""
    plan = plan_of(tmp_path, PLAN.replace("signed = false", "signed = true"))
    other = another_version(model_dir, tmp_path / "new", "2")
    assert violations(plan, model_dir, other, is_signed=True) == ()
    (found,) = violations(plan, model_dir, other, is_signed=False)
    assert found.startswith("signed: a signature is required")


def test_a_recalibration_of_the_served_model_is_allowed(model_dir: Path, recalibrated: Path, tmp_path: Path) -> None:
    """Its limits are about the patients whose outcomes it rests on."""
    shift = json.loads((recalibrated / ADAPTATION_FILE).read_bytes())["done"][-1]
    assert violations(plan_of(tmp_path), model_dir, recalibrated, is_signed=False) == ()
    for key, old, new, found in (
        ("min_patients", "100", "200", f"200 required, there are {shift['patients']}"),
        ("min_events", "20", "150", f"150 required, there are {shift['events']}"),
        ("max_shift", "2.0", "0.1", f"0.1 allowed, the log-odds were shifted by {shift['line']['intercept']:+g}"),
    ):
        before, _, limits = PLAN.partition("[recalibration]")
        text = f"{before}[recalibration]{limits.replace(f'{key} = {old}', f'{key} = {new}')}"
        assert violations(plan_of(tmp_path, text), model_dir, recalibrated, is_signed=False) == (
            f"recalibration.{key}: {found}",
        )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda shift: shift["after"].update(brier=0.5), "recalibration.max_brier_increase: 0 allowed, "),
        (
            lambda shift: shift["line"].update(intercept=0.25),
            "this is a recalibration that changes more than the intercept",
        ),
        (lambda shift: shift.update(line=None), "this is a refit on a hospital's own patients"),
        (lambda shift: shift.update(base_digest="0" * 16), "this is a recalibration of another model"),
    ],
)
def test_what_a_recalibration_says_of_itself_is_checked(
    change: Callable[[dict[str, Any]], object], expected: str, model_dir: Path, recalibrated: Path, tmp_path: Path
) -> None:
    """A shift other than the described one, or of another model, needs a person."""
    folder = tmp_path / "new"
    shutil.copytree(recalibrated, folder)
    content = json.loads((folder / ADAPTATION_FILE).read_bytes())
    change(content["done"][-1])
    replace_file(folder, ADAPTATION_FILE, json.dumps(content).encode())
    (found,) = violations(plan_of(tmp_path), model_dir, folder, is_signed=False)
    assert expected in found


def test_changed_coefficients_are_no_recalibration(model_dir: Path, recalibrated: Path, tmp_path: Path) -> None:
    """Whatever its description says; the same file without the change is one."""
    folder = tmp_path / "new"
    shutil.copytree(recalibrated, folder)
    content = msgspec.json.decode((folder / f"{BEST}.json").read_bytes())
    for added, expected in ((0.0, []), (0.001, ["changes more than the intercept"])):
        content["linear"]["coefficients"][0][0] += added
        replace_file(folder, f"{BEST}.json", msgspec.json.encode(content))
        found = violations(plan_of(tmp_path), model_dir, folder, is_signed=False)
        assert [each.partition("recalibration that ")[2] for each in found] == expected


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            lambda manifest: manifest.update(threshold=0.9),
            ["same_threshold: 0.5 is served, the model has 0.9", UNPROVEN],
        ),
        (lambda manifest: manifest.update(missing_patterns=[1]), [UNPROVEN]),
        (lambda manifest: manifest["training_range"].update(age=[0.0, 150.0]), [UNPROVEN]),
        (lambda manifest: manifest["data"].update(population="all patients"), [UNPROVEN]),
    ],
)
def test_a_recalibration_keeps_what_the_manifest_says(
    change: Callable[[dict[str, Any]], object], found: list[str], model_dir: Path, recalibrated: Path, tmp_path: Path
) -> None:
    """A threshold changes every label, a range every warning: neither is a shift."""
    folder = tmp_path / "new"
    shutil.copytree(recalibrated, folder)
    change_manifest(folder, change)
    assert violations(plan_of(tmp_path), model_dir, folder, is_signed=False) == tuple(found)


def test_a_retraining_keeps_the_threshold(model_dir: Path, tmp_path: Path) -> None:
    """Another threshold needs a person, whatever the kind of change."""
    folder = tmp_path / "new"
    shutil.copytree(model_dir, folder)
    change_manifest(folder, lambda manifest: manifest.update(threshold=0.4))
    assert violations(plan_of(tmp_path), model_dir, folder, is_signed=False) == (
        "same_threshold: 0.5 is served, the model has 0.4",
    )


@pytest.mark.parametrize(
    ("table", "change", "found"),
    [
        ("label_limits", lambda limits: limits * 0.99, (UNPROVEN,)),
        ("reach", lambda reach: reach * 0.5, (UNPROVEN,)),
        ("sampling_reach", lambda reach: reach * 0.5, (UNPROVEN,)),
        ("reach", lambda reach: reach * 2, ()),
        ("reach", lambda reach: reach[:1], (UNPROVEN,)),
        ("distance", lambda distance: distance * 0.5, (UNPROVEN,)),
        ("label_coverage", lambda counts: counts + 1, (UNPROVEN,)),
    ],
)
def test_a_recalibration_moves_label_sets_and_shrinks_no_interval(
    table: str,
    change: Callable[[Any], Any],
    found: tuple[str, ...],
    model_dir: Path,
    recalibrated: Path,
    tmp_path: Path,
) -> None:
    """Claims of certainty cannot grow by a shift."""
    folder = tmp_path / "new"
    shutil.copytree(recalibrated, folder)
    plain = read_portable((folder / f"{BEST}.json").read_bytes())
    assert isinstance(plain, PortableModel)
    tables = msgspec.structs.replace(plain.uncertainty, **{table: change(getattr(plain.uncertainty, table))})
    replace_file(folder, f"{BEST}.json", msgspec.structs.replace(plain, uncertainty=tables).as_json())
    assert violations(plan_of(tmp_path), model_dir, folder, is_signed=False) == found


@pytest.mark.parametrize("file", [REPORT_FILE, ADAPTATION_FILE])
def test_a_file_of_another_format_is_refused(file: str, model_dir: Path, tmp_path: Path) -> None:
    """By name, and not with a traceback."""
    folder = tmp_path / "new"
    shutil.copytree(model_dir, folder)
    replace_file(folder, file, b"[3]")
    with pytest.raises(ArtifactError, match=f"^{file} has not the expected format: "):
        violations(plan_of(tmp_path), model_dir, folder, is_signed=False)


def test_a_retraining_does_not_take_the_place_of_an_adapted_model(
    model_dir: Path, recalibrated: Path, tmp_path: Path
) -> None:
    """The figures of its report are not those of this hospital."""
    found = violations(plan_of(tmp_path, PLAN), recalibrated, model_dir, is_signed=True)
    assert found[-1].endswith("this is a retraining in place of a model that was adapted to this hospital")


def test_a_kind_without_limits_needs_a_person(model_dir: Path, recalibrated: Path, tmp_path: Path) -> None:
    """So does the first model of a store."""
    plan = plan_of(tmp_path, PLAN.partition("[recalibration]")[0])
    assert violations(plan, model_dir, recalibrated, is_signed=False) == (
        "kind: retraining allowed, this is a recalibration",
    )
    other = another_version(model_dir, tmp_path / "new", "2")
    plan = plan_of(tmp_path, "signed = false")
    assert violations(plan, model_dir, other, is_signed=False) == ("kind: no change allowed, this is a retraining",)
    assert violations(plan, None, other, is_signed=False)[0].startswith("first_model: ")
    assert violations(plan, model_dir, model_dir, is_signed=False) == ()
