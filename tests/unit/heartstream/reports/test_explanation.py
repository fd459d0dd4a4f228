"""`heartstream explain` shows the score of every interface, with contributions that add up."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from heartstream.cli import app
from heartstream.demo.patients import real_patients
from schemas.codec import decode_score
from scoring.scorer import Scorer
from scoring.wording import uncertain
from tests.support.outcomes import Scored, process
from tests.support.signing_keys import Keys
from tests.support.uci import FEATURE_NAMES

EXAMPLES = Path(__file__).parents[4] / "schemas" / "examples" / "patients" / "v1" / "accepted"
MODELS = ["logistic_regression", "pattern_submodels", "random_forest", "gradient_boosting"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code, output and errors."""
    with pytest.raises(SystemExit) as caught:
        app(["explain", *map(str, arguments)])
    code = caught.value.code
    captured = capsys.readouterr()
    return code if isinstance(code, int) else 0, captured.out, captured.err


def written(folder: Path, **changes: object) -> Path:
    path = folder / "patient.json"
    path.write_text(json.dumps({**real_patients()[0], **changes}), "utf-8")
    return path


@pytest.mark.parametrize("name", MODELS)
def test_score_is_that_of_every_interface(
    name: str, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Except for the number of reasons the JSON is what the scores topic would have."""
    path = written(tmp_path, thal=None)
    code, out, _ = run(capsys, path, "--model", model_dir, "--name", name, "--json")
    (outcome,) = process([path.read_bytes()], [None], Scorer.from_directory(model_dir, name))
    assert isinstance(outcome, Scored)
    told, expected = json.loads(out), json.loads(outcome.value)
    if expected["reasons"] is not None:
        told["reasons"] = told["reasons"][:3]
    assert (code, told) == (0, expected)


@pytest.mark.parametrize("name", MODELS[:2])
def test_contributions_add_up(name: str, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field has a line, and the contributions plus the average patient's log-odds give the risk."""
    path = written(tmp_path, ca=None)
    _, out, _ = run(capsys, path, "--model", model_dir, "--name", name)
    parts = dict(re.findall(r"^  (\w+) +([+-][\d.]+|) +\S", out, re.MULTILINE))
    assert set(parts) == set(FEATURE_NAMES)
    assert parts["ca"] == ""
    average, risk = (float(re.search(p, out)[1]) / 100 for p in (r"patient has ([\d.]+)%", r"Risk: ([\d.]+)%"))  # type: ignore[index]
    odds = average / (1 - average) * 2.718281828 ** sum(float(part) for part in parts.values() if part)
    assert odds / (1 + odds) == pytest.approx(risk, abs=0.002)


def test_text_follows_the_score(model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interval, plausible outcomes, missing fields and extrapolation are shown, and the disclaimer is at the end."""
    path = written(tmp_path, slope=None, ca=None, thal=None, chol=900, exang=None)
    arguments = (path, "--model", model_dir, "--name", "pattern_submodels")
    _, text, _ = run(capsys, *arguments)
    _, out, _ = run(capsys, *arguments, "--json")
    score = decode_score(out.encode())
    assert isinstance(score.interval, tuple)
    low, high = score.interval
    assert f"90% interval: {low:.1%} to {high:.1%}" in text
    assert isinstance(score.sampling_interval, tuple)
    flat = " ".join(text.split())
    low, high = score.sampling_interval
    assert f"other training patients account for {low:.1%} to {high:.1%};" in flat
    is_uncertain = len(score.label_set) == 2  # type: ignore[arg-type]
    assert (uncertain("disease") in flat, "but that is not certain" in flat) == (is_uncertain, not is_uncertain)
    assert f"most informative first: {', '.join(score.measure_next)} (costs" in flat  # type: ignore[arg-type]
    data = Scorer.from_directory(model_dir).manifest.data
    assert f"Trained on {data.population}." in flat
    assert "sub-model trained without exang, slope, ca, thal" in flat
    assert "outside the training range: chol\n" in text
    assert flat.endswith(data.disclaimer)


@pytest.mark.parametrize(
    ("sex", "wrong"),
    [(1, r"up to \d+ of 31 training patients with disease \(men with chest pain\) look the same"), (0, "only 3 ")],
)
def test_a_single_label_says_how_often_it_is_wrong(
    sex: int, wrong: str, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It states how many similar training patients had the other outcome."""
    low = {"age": 40, "sex": sex, "cp": 2, "trestbps": 110, "chol": 200, "fbs": 0, "restecg": 0, "thalach": 180}
    path = written(tmp_path, **low, exang=0, oldpeak=0, slope=1, ca=0, thal=3)
    _, text, _ = run(capsys, path, "--model", model_dir, "--name", "pattern_submodels")
    flat = " ".join(text.split())
    assert "The risk fits patients without disease, but that is not certain" in flat
    assert re.search(wrong, flat)


def test_a_record_of_another_coding_is_shown_in_uci_codes(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values, group and contributions are those of the converted record: cp 0 of that coding is "asymptomatic"."""
    theirs = {"cp": 0, "restecg": 1, "slope": 2, "ca": 4, "thal": 2, "coding": "kaggle-303"}
    ours = {"cp": 4, "restecg": 0, "slope": 1, "ca": None, "thal": 3}
    arguments = ("--model", model_dir, "--name", "pattern_submodels")
    _, text, _ = run(capsys, written(tmp_path, **theirs), *arguments)
    assert "asymptomatic (4)" in text
    assert run(capsys, written(tmp_path, **ours), *arguments)[1] == text


def test_no_risk_is_shown_as_certain(model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A risk that would round to 100.0% is shown as over 99.9%, also in the interval."""
    path = written(tmp_path, **json.loads((EXAMPLES / "highest-limits.json").read_text("utf-8")))
    _, text, _ = run(capsys, path, "--model", model_dir, "--name", "logistic_regression")
    assert ("Risk: over 99.9%" in text, "to over 99.9%" in text, "100.0%" in text) == (True, True, False)


def test_the_model_comes_from_the_settings_by_default(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, keys: Keys
) -> None:
    """HEARTSTREAM_MODEL__PATH, NAME and PUBLIC_KEY apply as for a worker."""
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path)
    expected = run(capsys, path, "--model", model_dir, "--name", "random_forest", "--json")
    monkeypatch.setenv("HEARTSTREAM_MODEL__PATH", str(model_dir))
    monkeypatch.setenv("HEARTSTREAM_MODEL__NAME", "random_forest")
    assert run(capsys, path, "--json") == expected
    assert run(capsys, path, "--name", "logistic_regression", "--json") != expected
    monkeypatch.setenv("HEARTSTREAM_MODEL__PUBLIC_KEY", str(keys.public))
    code, _, told = run(capsys, path)
    assert (code, "not signed" in told) == (65, True)


def test_invalid_record_is_refused_with_all_reasons(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 65, one line per fault, and no value of the patient."""
    code, out, err = run(capsys, written(tmp_path, age=4711, thal=2), "--model", model_dir)
    assert (code, out) == (65, "")
    assert ("/age:" in err, "/thal:" in err, "4711" in err) == (True, True, False)


def test_unreadable_file_and_missing_model_have_different_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """69 for the file, 65 for the model."""
    absent, _, err = run(capsys, tmp_path / "nobody.json")
    refused, _, told = run(capsys, written(tmp_path), "--model", tmp_path / "model")
    assert (absent, "cannot read" in err, refused, "no model at" in told) == (69, True, 65, True)


def test_text_codes_and_horizon_are_in_words(
    flchain_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A code is named once if its meaning is its text; no value is a position in the table."""
    table = Scorer.from_directory(flchain_dir).compiled.table
    path = tmp_path / "patient.json"
    path.write_text(json.dumps({**table.example, "patient_id": "p-1", "sex": "M", "mgus": "yes"}), "utf-8")
    code, out, _ = run(capsys, path, "--model", flchain_dir)
    values = dict(re.findall(r"^  (\w+) +[+-][\d.]+ +(\S.*)$", out, re.MULTILINE))
    assert (code, values["sex"], values["mgus"], values["flc_grp"]) == (0, "male (M)", "yes", "7")
    assert "(death within 5 years)" in out.splitlines()[0]
