"""A store's change-control plan is read strictly, and promote and follow obey it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from heartstream.cli.model import promote, rollback
from heartstream.operations.models.change_plan import PLAN_FILE
from heartstream.operations.models.mlflow_alias import follow
from heartstream.operations.models.store import Store
from schemas.errors import DataError
from scoring.model_artifact import read_manifest
from tests.support.change_plans import PLAN, plan_of, retrained, worse
from tests.support.commands import refused
from tests.support.model_files import change_manifest
from tests.support.models import another_version
from training.tracking.mlflow_registry import MlflowRegistry, ModelVersion


def test_every_problem_of_a_plan_is_named(tmp_path: Path) -> None:
    """Unknown and absent keys, wrong types, and limits that would allow everything."""
    text = (
        PLAN.replace("signed", "sgined")
        .replace("= 300", "= 0")
        .replace("0.01", "nan")
        .replace("same_algorithm = true\n", "")
    )
    text = text.replace("0.02", "inf").replace("[0.8, 1.25]", "1").replace("max_shift = 2.0", 'max_shift = "all"')
    with pytest.raises(DataError) as caught:
        plan_of(tmp_path, text)
    lines = [line.removeprefix(f"{tmp_path / PLAN_FILE}: ") for line in str(caught.value).splitlines()]
    assert lines == [
        "retraining.same_algorithm is required",
        "retraining.min_patients: Expected `int` >= 1",
        "retraining.max_roc_auc_loss: Expected `float` <= 10.0",
        "retraining.max_brier_increase: Expected `float` >= 0.0",
        "retraining.calibration_slope: Expected `array`, got `int`",
        "recalibration.max_shift: Expected `float`, got `str`",
        "signed is required",
        "unknown key sgined; there are signed",
    ]


@pytest.mark.parametrize("text", ["signed", "signed = false\nretraining = 3"])
def test_a_plan_that_cannot_be_read_refuses_all_changes(
    text: str, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged plan must not allow what a whole one forbids."""
    store = Store(tmp_path / "models")
    store.folder.mkdir()
    (store.folder / PLAN_FILE).write_text(text)
    assert PLAN_FILE in refused(capsys, promote, str(model_dir), store=store.folder)
    assert store.current() is None


def test_promote_obeys_the_plan_unless_a_person_approves(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal changes nothing; an approval is kept in the history, with what it overrides; rollback is free."""
    store = Store(tmp_path / "models")
    promote(str(model_dir), store=store.folder)
    plan = plan_of(store.folder)
    bad = retrained(model_dir, tmp_path / "bad", worse("roc_auc", -0.1))
    before = sorted(path.name for path in store.folder.iterdir())
    told = refused(capsys, promote, str(bad), store=store.folder)
    assert "retraining.max_roc_auc_loss: 0.02 allowed" in told
    assert "--approved-by NAME" in told
    assert (sorted(path.name for path in store.folder.iterdir()), len(store.history())) == (before, 1)
    promote(str(bad), store=store.folder, approved_by="Dr. Rivera")
    change = store.history()[-1]
    assert (change.plan, change.approved_by, len(change.overridden)) == (plan.sha256, "Dr. Rivera", 1)
    rollback(store=store.folder)
    assert store.current() == read_manifest(model_dir)[1]


def test_a_plan_that_links_to_nothing_is_not_the_absence_of_a_plan(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A volume that is not mounted must not allow every change."""
    store = Store(tmp_path / "models")
    store.folder.mkdir()
    (store.folder / PLAN_FILE).symlink_to("elsewhere.toml")
    told = refused(capsys, promote, str(model_dir), store=store.folder)
    assert f"{PLAN_FILE} cannot be read: it links to elsewhere.toml" in told
    assert store.current() is None


def test_a_rollback_needs_the_signature_and_the_content_of_the_promotion(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in the store under the digest must be what was promoted."""
    store = Store(tmp_path / "models")
    promote(str(model_dir), store=store.folder)
    promote(str(another_version(model_dir, tmp_path / "new", "2")), store=store.folder)
    first, served = (change.digest for change in store.history())
    plan_of(store.folder, "signed = true")
    assert "requires a verified signature (--public-key)" in refused(capsys, rollback, store=store.folder)
    plan_of(store.folder, "signed = false")
    change_manifest(store.folder / first, lambda manifest: manifest.update(threshold=0.1))
    assert f"{first} was changed: its digest is " in refused(capsys, rollback, store=store.folder)
    assert (store.current(), len(store.history())) == (served, 2)


class Registry:
    """A registry whose alias points to one version after another; then the process is interrupted."""

    def __init__(self, *folders: Path) -> None:
        self._folders, self._places = folders, iter(range(len(folders)))

    def find(self, _uri: str) -> ModelVersion:
        for place in self._places:
            return ModelVersion("heartstream", str(place))
        raise KeyboardInterrupt

    def fetch(self, version: ModelVersion, _folder: Path) -> Path:
        return self._folders[int(version.version)]


def test_a_follower_obeys_the_plan(model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the rule, keeps the served model, and goes on with the next version."""
    store = Store(tmp_path / "models")
    promote(str(model_dir), store=store.folder)
    plan_of(store.folder)
    bad = retrained(model_dir, tmp_path / "bad", worse("brier", 0.2))
    good = retrained(model_dir, tmp_path / "good", worse("brier", -0.001))
    served = store.current()
    with pytest.raises(KeyboardInterrupt):
        follow(store, cast("MlflowRegistry", Registry(bad)), "models:/heartstream@champion", None, 0)
    assert store.current() == served
    told = capsys.readouterr().err
    assert told.startswith("refused models:/heartstream/0: ")
    assert "retraining.max_brier_increase: 0.01 allowed" in told
    with pytest.raises(KeyboardInterrupt):
        follow(store, cast("MlflowRegistry", Registry(bad, good)), "models:/heartstream@champion", None, 0)
    assert store.current() == read_manifest(good)[1]


def test_a_follower_waits_for_a_plan_that_can_be_read(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the problem once, and promotes nothing meanwhile."""
    store = Store(tmp_path / "models")
    store.folder.mkdir()
    (store.folder / PLAN_FILE).write_text("signed = 3")
    with pytest.raises(KeyboardInterrupt):
        follow(store, cast("MlflowRegistry", Registry(model_dir, model_dir)), "models:/heartstream@champion", None, 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{PLAN_FILE}: signed: Expected `bool`, got `int`; retrying every 0 s" in line
    assert store.current() is None
