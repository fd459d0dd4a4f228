"""An adapted model directory: the rung that was chosen, applied to the model, and no outdated statement in it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from heartstream.cli.adapt import adapt
from heartstream.cli.model import check, sign
from heartstream.monitoring.outcomes.join import Pair
from heartstream.operations.models.adaptation import LocalFile, evidence_from_file, evidence_of
from schemas.errors import ArtifactError, DataError
from scoring.model_artifact import MANIFEST_FILE, load
from scoring.portable_model import PortableModel
from scoring.reference_cases import reference_cases
from scoring.scorer import Scorer
from tests.support.commands import refused
from tests.support.public_copies import labelled
from tests.support.signing_keys import Keys
from tests.support.uci import UCI
from training.adaptation import AdaptationRequest
from training.adaptation import adapt as adapt_by
from training.data.frames import features, read_snapshot, target
from training.data.labelled import read_labelled
from training.evaluation.adaptation import Rung
from training.evaluation.external_validation import validate_externally
from training.evaluation.recalibration import Line, propose_shift, shift_risks
from training.export.recalibrated_files import recalibrated_files, recalibrated_plain
from training.report.adapted_card import recalibrated_documents


def by_hungarians(model_dir: Path, folder: Path, name: str | None = None, output: str = "new") -> Path:
    adapt(model_dir, output=folder / output, data=labelled("hungarian", folder), name=name, up_to="intercept")
    return folder / output


@pytest.mark.parametrize("name", ["pattern_submodels", "logistic_regression"])
def test_all_risks_move_by_the_proposed_shift_and_label_sets_stay(name: str, model_dir: Path, tmp_path: Path) -> None:
    """With the fast engine and with scikit-learn; intervals grow, and patients keep their label sets."""
    new = by_hungarians(model_dir, tmp_path, name)
    before, after = Scorer.from_directory(model_dir, name), Scorer.from_directory(new)
    frame = read_snapshot()
    matrix = features(frame)
    hungarians = (frame["site"] == "hungarian").to_numpy()
    found = propose_shift(target(frame)[hungarians], before.risks(matrix[hungarians]))
    assert found.proposed is not None
    old, moved = before.explain(matrix), after.explain(matrix)
    assert after.engine == "linear"
    assert moved.risks == pytest.approx(shift_risks(old.risks, found.proposed), abs=2e-6)
    sets = [scorer._details.columns(matrix, of).label_sets for scorer, of in ((before, old), (after, moved))]
    assert sets[0] == sets[1]
    assert before.uncertainty.reach is not None
    assert after.uncertainty.reach is not None
    assert (after.uncertainty.reach > before.uncertainty.reach).all()
    artifact = load(new)
    fitted = artifact.fitted()
    expected = fitted.classifier.predict_proba(fitted.preprocessor.transform(reference_cases(UCI.table)))[:, 1]
    assert artifact.plain is not None
    assert np.array_equal(expected, PortableModel.from_json(artifact.plain).reference_risks)


def test_the_variance_of_a_risk_grows_by_that_of_the_shift(model_dir: Path) -> None:
    """A 90% interval reaches 1.645 standard deviations, and variances add up."""
    plain = PortableModel.from_json(load(model_dir, "pattern_submodels").plain or b"")
    grown = recalibrated_plain(plain, Line(0.0, error=0.3)).uncertainty
    for before, after in (
        (plain.uncertainty.reach, grown.reach),
        (plain.uncertainty.sampling_reach, grown.sampling_reach),
    ):
        assert before is not None
        assert after is not None
        assert (after / 1.6448536) ** 2 - (before / 1.6448536) ** 2 == pytest.approx(0.09)


def test_everything_else_is_carried_over(model_dir: Path) -> None:
    """Unknown limits stay unknown, the other tables stay the same, and a shift of 0 changes nothing."""
    plain = PortableModel.from_json(load(model_dir, "pattern_submodels").plain or b"")
    limits = plain.uncertainty.label_limits.copy()
    limits[5] = np.nan
    gaps = msgspec.structs.replace(plain, uncertainty=msgspec.structs.replace(plain.uncertainty, label_limits=limits))
    moved = recalibrated_plain(gaps, Line(0.4, error=0.1))
    assert moved.uncertainty.label_limits == pytest.approx(shift_risks(limits, 0.4), nan_ok=True)
    assert np.isnan(moved.uncertainty.label_limits[5]).all()
    assert recalibrated_plain(plain, Line(0.0)).uncertainty.label_limits == pytest.approx(
        plain.uncertainty.label_limits
    )
    assert np.array_equal(moved.uncertainty.distance, plain.uncertainty.distance)  # type: ignore[arg-type]
    assert np.array_equal(moved.center, plain.center)


def test_the_directory_documents_the_recalibration(model_dir: Path, tmp_path: Path) -> None:
    """Version, base digest, data and shift; the card has the shifted equation and the base's results."""
    new = by_hungarians(model_dir, tmp_path)
    base, artifact = load(model_dir), load(new)
    data = read_labelled(tmp_path / "hungarian.csv", UCI)
    (done,) = json.loads((new / "adaptation.json").read_bytes())["done"]
    assert artifact.model.version == f"test+intercept.{data.sha256[:8]}"
    assert (done["base_digest"], done["data_sha256"]) == (base.model.digest, data.sha256)
    assert (done["patients"], done["events"]) == (294, 106)
    assert list(artifact.manifest.models) == [base.model.name]
    assert artifact.manifest.models[base.model.name].metrics == {}
    assert artifact.manifest.data == base.manifest.data
    cards = [json.loads(of.cards["application/json"]) for of in (base, artifact)]
    moved = [b["intercept"] - a["intercept"] for a, b in zip(*(card["equations"] for card in cards), strict=True)]
    assert moved == pytest.approx([done["line"]["intercept"]] * 2)
    assert cards[1]["adaptations"] == [done]
    text = artifact.cards["text/markdown"].decode()
    assert text.index("## Adaptation") < text.index("## Intended use")
    assert base.model.digest in text
    assert artifact.reference is not None
    assert artifact.reference.risks == {}
    listed = {MANIFEST_FILE, *artifact.manifest.files}
    assert {path.name for path in new.iterdir()} == listed


def test_evaluation_agrees_with_the_adaptation(model_dir: Path, tmp_path: Path) -> None:
    """The file's figures of the model as it was are those of `evaluate`; after it, they are better."""
    new = by_hungarians(model_dir, tmp_path)
    data = read_labelled(tmp_path / "hungarian.csv", UCI)
    before, after = (validate_externally(folder, None, data) for folder in (model_dir, new))
    (done,) = json.loads((new / "adaptation.json").read_bytes())["done"]
    assert before.mean_risk == pytest.approx(done["mean_risk_before"], abs=1e-6)
    assert before.mean_risk > after.mean_risk > after.share.value
    for figure in ("roc_auc", "brier", "log_loss"):
        measured = before.overall.figures[figure].value
        assert done["before"][figure] == pytest.approx(measured, abs=1e-6)
        assert done["validation"]["figures"][figure]["value"] == pytest.approx(measured, abs=1e-6)
    assert after.overall.figures["brier"].value < done["before"]["brier"]
    assert done["after"] == next(each for each in done["rungs"] if each["rung"] == done["rung"] == "intercept")


def test_a_slope_moves_log_odds_along_the_line_and_label_sets_stay(model_dir: Path) -> None:
    """In the portable model and in scikit-learn's; a reach scales with the slope before the error is added."""
    artifact = load(model_dir, "pattern_submodels")
    line = Line(0.4, 0.5, 0.2)
    files = recalibrated_files(artifact, line, "v", {})
    plain = PortableModel.from_json(artifact.plain or b"")
    changed = PortableModel.from_json(files["pattern_submodels.json"])
    assert changed.reference_risks == pytest.approx(line.risks(plain.reference_risks), abs=1e-9)
    limits, moved = (each.uncertainty.label_limits for each in (plain, changed))
    assert moved == pytest.approx(line.risks(limits), abs=1e-5)
    assert plain.uncertainty.reach is not None
    assert changed.uncertainty.reach == pytest.approx(np.hypot(0.5 * plain.uncertainty.reach, 1.6448536 * 0.2))


def test_the_same_model_and_data_give_the_same_bytes(model_dir: Path, tmp_path: Path) -> None:
    """In every file of the directory."""
    one, other = (by_hungarians(model_dir, tmp_path, output=name) for name in ("one", "other"))
    assert [path.name for path in sorted(one.iterdir())] == [path.name for path in sorted(other.iterdir())]
    assert all(path.read_bytes() == (other / path.name).read_bytes() for path in one.iterdir())


def test_it_can_be_signed_and_checked(model_dir: Path, tmp_path: Path, keys: Keys) -> None:
    """Unsigned it is served by its verified fast engine, without the pickle."""
    new = by_hungarians(model_dir, tmp_path)
    check(new)
    sign(new, key=keys.private)
    check(new, public_key=keys.public)


def test_a_report_in_another_format_is_refused(model_dir: Path) -> None:
    """A report of another version has unknown names: the error says to train again."""
    old = msgspec.structs.replace(load(model_dir), report=b'{"schema": "heartstream-report/1"}')
    with pytest.raises(ArtifactError, match="another version of heartstream: train the model again"):
        recalibrated_documents(old, "v", Line(0.0), ())


def test_an_adaptation_without_a_change_writes_nothing(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within chance, for a forest, for patients that were used before, and for too few."""
    va, hungarian = labelled("va", tmp_path), labelled("hungarian", tmp_path)
    few = tmp_path / "few.csv"
    few.write_text("".join(hungarian.read_text().splitlines(keepends=True)[:100]))
    output, new = tmp_path / "none", by_hungarians(model_dir, tmp_path)
    refused(capsys, adapt, model_dir, output=output, data=va, code=1)
    messages = [
        refused(capsys, adapt, model_dir, output=output, data=hungarian, name="random_forest"),
        refused(capsys, adapt, new, output=output, data=hungarian),
        refused(capsys, adapt, model_dir, output=output, data=few),
    ]
    assert not output.exists()
    for reason, text in zip(("no intercept", "already", "needs 100"), messages, strict=True):
        assert reason in text


def test_patients_who_trained_the_model_are_left_out(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its risks are too good for them: all of Cleveland's, and one in four of a mixed file."""
    alone, mixed = labelled("cleveland", tmp_path), tmp_path / "mixed.csv"
    read_snapshot(["cleveland", "hungarian"]).tail(394).to_csv(mixed, index=False)
    told = refused(capsys, adapt, model_dir, output=tmp_path / "new", data=alone)
    assert "trained on all of these patients" in told
    adapt(model_dir, output=tmp_path / "new", data=mixed, up_to="intercept")
    assert "100 patients trained the model, and are left out" in capsys.readouterr().err
    (done,) = json.loads((tmp_path / "new" / "adaptation.json").read_bytes())["done"]
    assert done["patients"] == 294


def test_a_second_adaptation_keeps_the_first(model_dir: Path, tmp_path: Path) -> None:
    """Both are recorded, and the version names both."""
    new = by_hungarians(model_dir, tmp_path)
    adapt(new, output=tmp_path / "again", data=labelled("switzerland", tmp_path))
    done = json.loads((tmp_path / "again" / "adaptation.json").read_bytes())["done"]
    assert [each["base_digest"] for each in done] == [load(model_dir).model.digest, load(new).model.digest]
    assert load(tmp_path / "again").model.version.count("intercept") == 2


def test_outcomes_from_topics_equal_a_file(model_dir: Path, tmp_path: Path) -> None:
    """The same risks and outcomes as pairs give the same shift; too few are refused, and so is a refit."""
    data = labelled("hungarian", tmp_path)
    artifact, request = load(model_dir), AdaptationRequest(tmp_path / "topics", Rung.INTERCEPT)
    local = evidence_from_file(artifact, LocalFile(data)).local
    known = zip(local.risks.tolist(), local.labels.tolist(), strict=True)
    pairs = [Pair((n, 0, n), risk, outcome) for n, (risk, outcome) in enumerate(known)]
    result = adapt_by(artifact, model_dir, evidence_of(pairs), request)
    by_file = json.loads((by_hungarians(model_dir, tmp_path) / "adaptation.json").read_bytes())["done"][0]
    assert result.ladder.line is not None
    assert result.ladder.line.intercept == by_file["line"]["intercept"]
    with pytest.raises(DataError, match="needs 100"):
        adapt_by(artifact, model_dir, evidence_of(pairs[:99]), request)
    with pytest.raises(DataError, match="--data"):
        adapt_by(artifact, model_dir, evidence_of(pairs), AdaptationRequest(tmp_path / "refit", Rung.REFIT))
