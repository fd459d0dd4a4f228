"""A recalibrated model directory: the same model with shifted risks, and no outdated statement in it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from heartstream.cli.model import check, recalibrate, sign
from heartstream.monitoring.outcomes.join import Pair
from heartstream.operations.models.recalibration import evidence_of
from schemas.errors import ArtifactError, DataError
from schemas.records import Details
from scoring.model_artifact import MANIFEST_FILE, load
from scoring.portable_model import PortableModel
from scoring.reference_cases import reference_cases
from scoring.scorer import Scorer
from tests.support.commands import refused
from tests.support.public_copies import labelled
from tests.support.signing_keys import Keys
from tests.support.uci import UCI
from training.data.frames import features, read_snapshot, target
from training.data.labelled import read_labelled
from training.evaluation.external_validation import validate_externally
from training.evaluation.recalibration import propose_shift, shift_risks
from training.export.recalibrated_model import recalibrate as recalibrate_by
from training.export.recalibrated_model import shifted_plain
from training.report.recalibrated_card import recalibrated_cards


def by_hungarians(model_dir: Path, folder: Path, name: str | None = None, output: str = "new") -> Path:
    recalibrate(model_dir, output=folder / output, data=labelled("hungarian", folder), name=name)
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
    grown = shifted_plain(plain, 0.0, 0.3).uncertainty
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
    moved = shifted_plain(gaps, 0.4, 0.1)
    assert moved.uncertainty.label_limits == pytest.approx(shift_risks(limits, 0.4), nan_ok=True)
    assert np.isnan(moved.uncertainty.label_limits[5]).all()
    assert shifted_plain(plain, 0.0, 0.0).uncertainty.label_limits == pytest.approx(plain.uncertainty.label_limits)
    assert np.array_equal(moved.uncertainty.distance, plain.uncertainty.distance)  # type: ignore[arg-type]
    assert np.array_equal(moved.center, plain.center)


def test_the_directory_documents_the_recalibration(model_dir: Path, tmp_path: Path) -> None:
    """Version, base digest, data and shift; the card has the shifted equation and the base's results."""
    new = by_hungarians(model_dir, tmp_path)
    base, artifact = load(model_dir), load(new)
    data = read_labelled(tmp_path / "hungarian.csv", UCI)
    (done,) = json.loads((new / "recalibration.json").read_bytes())["done"]
    assert artifact.model.version == f"test+recalibrated.{data.sha256[:8]}"
    assert (done["base_digest"], done["data_sha256"]) == (base.model.digest, data.sha256)
    assert (done["patients"], done["events"]) == (294, 106)
    assert list(artifact.manifest.models) == [base.model.name]
    assert artifact.manifest.models[base.model.name].metrics == {}
    assert artifact.manifest.data == base.manifest.data
    cards = [json.loads(of.cards["application/json"]) for of in (base, artifact)]
    moved = [b["intercept"] - a["intercept"] for a, b in zip(*(card["equations"] for card in cards), strict=True)]
    assert moved == pytest.approx([done["applied"]] * 2)
    assert cards[1]["recalibrations"] == [done]
    text = artifact.cards["text/markdown"].decode()
    assert text.index("## Recalibration") < text.index("## Intended use")
    assert base.model.digest in text
    assert artifact.reference is not None
    assert artifact.reference.risks == {}
    listed = {MANIFEST_FILE, *artifact.manifest.files}
    assert {path.name for path in new.iterdir()} == listed


def test_evaluation_agrees_with_the_recalibration(model_dir: Path, tmp_path: Path) -> None:
    """On its patients the mean risk is nearer to the prevalence, and the Brier score is better."""
    new = by_hungarians(model_dir, tmp_path)
    data = read_labelled(tmp_path / "hungarian.csv", UCI)
    before, after = (validate_externally(folder, None, data) for folder in (model_dir, new))
    (done,) = json.loads((new / "recalibration.json").read_bytes())["done"]
    assert after.mean_risk == pytest.approx(done["mean_risk_after"], abs=1e-6)
    assert before.mean_risk > after.mean_risk > after.share.value
    assert after.overall.figures["brier"].value == pytest.approx(done["brier_after"], abs=1e-6)
    assert after.overall.figures["brier"].value < before.overall.figures["brier"].value


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
        recalibrated_cards(old, "v", ())


def test_a_recalibration_without_a_proposal_is_refused(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within chance, for a forest, for the training patients and for too few; nothing is written."""
    va, hungarian = labelled("va", tmp_path), labelled("hungarian", tmp_path)
    few = tmp_path / "few.csv"
    few.write_text("".join(hungarian.read_text().splitlines(keepends=True)[:100]))
    output = tmp_path / "none"
    messages = [
        refused(capsys, recalibrate, model_dir, output=output, data=va),
        refused(capsys, recalibrate, model_dir, output=output, data=hungarian, name="random_forest"),
        refused(capsys, recalibrate, by_hungarians(model_dir, tmp_path), output=output, data=hungarian),
        refused(capsys, recalibrate, model_dir, output=output, data=few),
    ]
    assert not output.exists()
    for reason, text in zip(("chance may explain", "no intercept", "already", "100 outcomes"), messages, strict=True):
        assert reason in text


def test_a_second_recalibration_keeps_the_first(model_dir: Path, tmp_path: Path) -> None:
    """Both are recorded, and the version names both."""
    new = by_hungarians(model_dir, tmp_path)
    recalibrate(new, output=tmp_path / "again", data=labelled("switzerland", tmp_path))
    done = json.loads((tmp_path / "again" / "recalibration.json").read_bytes())["done"]
    assert [each["base_digest"] for each in done] == [load(model_dir).model.digest, load(new).model.digest]
    assert load(tmp_path / "again").model.version.count("recalibrated") == 2


def test_outcomes_from_topics_equal_a_file(model_dir: Path, tmp_path: Path) -> None:
    """The same risks and outcomes as pairs give the same shift; too few are refused."""
    frame = read_snapshot(["hungarian"])
    risks = Scorer.from_directory(model_dir, None, Details()).risks(features(frame)).tolist()
    pairs = [Pair((n, 0, n), risk, found) for n, (risk, found) in enumerate(zip(risks, target(frame), strict=True))]
    artifact = load(model_dir)
    made, _ = recalibrate_by(artifact, model_dir, evidence_of(pairs), tmp_path / "topics")
    by_file = json.loads((by_hungarians(model_dir, tmp_path) / "recalibration.json").read_bytes())["done"][0]
    assert made.applied == by_file["applied"]
    with pytest.raises(DataError, match="100 outcomes"):
        recalibrate_by(artifact, model_dir, evidence_of(pairs[:99]), tmp_path / "few")
