"""The model store serves only verified models, and a promotion can always be rolled back."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from heartstream.cli.model import list_, promote, rollback, sign
from heartstream.operations.models.store import CURRENT, Store
from scoring.model_artifact import MANIFEST_FILE, load
from tests.support.commands import refused
from tests.support.model_files import change_byte
from tests.support.models import another_version
from tests.support.signing_keys import Keys


class Models:
    """A store, and three valid models beside it."""

    def __init__(self, folder: Path, model_dir: Path) -> None:
        self.store = Store(folder / "models")
        versions = [another_version(model_dir, folder / f"v{version}", str(version)) for version in range(1, 4)]
        self.models = versions
        self.digests = [load(version).model.digest for version in versions]

    def promote(self, place: int) -> None:
        promote(str(self.models[place]), store=self.store.folder)

    def served(self) -> int:
        """Return which of the models a worker would load."""
        return self.digests.index(load(self.store.folder / CURRENT).model.digest)


@pytest.fixture
def shelf(tmp_path: Path, model_dir: Path) -> Models:
    return Models(tmp_path, model_dir)


def test_each_rollback_goes_one_promotion_further_back(shelf: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """After two of three rollbacks the first model is served, and only a new promotion changes that."""
    for place in (0, 1, 1, 2):
        shelf.promote(place)
    served = []
    for _ in range(2):
        rollback(store=shelf.store.folder)
        served.append(shelf.served())
    assert served == [1, 0]
    assert "no model was promoted before" in refused(capsys, rollback, store=shelf.store.folder)
    promote(shelf.digests[2][:6], store=shelf.store.folder)
    rollback(store=shelf.store.folder)
    assert shelf.served() == 0


def test_a_refused_model_changes_nothing(shelf: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the link nor the history, and no file of it stays."""
    shelf.promote(0)
    before = sorted(path.name for path in shelf.store.folder.iterdir())
    change_byte(shelf.models[1] / "pattern_submodels.json")
    assert "pattern_submodels.json: has" in refused(capsys, promote, str(shelf.models[1]), store=shelf.store.folder)
    assert (shelf.served(), len(shelf.store.history())) == (0, 1)
    assert sorted(path.name for path in shelf.store.folder.iterdir()) == before


def test_a_rollback_without_a_store_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It creates no folder, and names the command that creates a store."""
    assert "heartstream model promote creates one" in refused(capsys, rollback, code=69, store=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("glued", [False, True])
def test_a_truncated_history_is_read(shelf: Models, *, glued: bool) -> None:
    """A partial last line, as left by a full disk, is ignored, even if a complete one was appended to it."""
    for place in range(2):
        shelf.promote(place)
    file = shelf.store.folder / "history.ndjson"
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:40] + (second if glued else b""))
    assert [change.digest for change in shelf.store.history()] == shelf.digests[: 1 + glued]
    assert len(shelf.store.models()) == 2
    shelf.promote(2)
    rollback(store=shelf.store.folder)
    assert shelf.served() == (1 if glued else 0)


def test_a_damaged_history_is_reported_with_its_line(shelf: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """Damage before the end is not a truncated write, so no rollback is guessed."""
    shelf.promote(0)
    file = shelf.store.folder / "history.ndjson"
    file.write_bytes(b"nonsense\n" + file.read_bytes())
    for command in (list_, rollback):
        assert "history.ndjson: line 1 is damaged" in refused(capsys, command, code=69, store=shelf.store.folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None:
        pytest.skip("nothing can be mounted here")
    command = [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run([unmount, str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Use up all of its space; return the file that does."""
    filling = disk / "filling"
    with suppress(OSError), filling.open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass
    return filling


def test_a_full_disk_changes_nothing(small_disk: Path, shelf: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed promotion leaves history and link as they were, and rollback and promotion still work."""
    store = Store(small_disk / "models")
    for place in (0, 1):
        store.promote(shelf.models[place], "long" * 485)
    before, filling = (store.folder / "history.ndjson").read_bytes(), fill(small_disk)
    assert len(before) < 4096 < len(before) + 100
    for model in (shelf.digests[0], str(shelf.models[2])):
        assert "No space left on device" in refused(capsys, promote, model, code=69, store=store.folder)
        assert ((store.folder / "history.ndjson").read_bytes(), store.current()) == (before, shelf.digests[1])
    assert [model.is_current for model in store.models()] == [True, False]
    filling.unlink()
    store.rollback()
    assert store.current() == shelf.digests[0]
    store.promote(shelf.models[2], "forward")
    assert [change.digest for change in store.history()] == [shelf.digests[place] for place in (0, 1, 0, 2)]


def test_a_damaged_model_is_not_rolled_back_to(shelf: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rollback verifies the stored files."""
    shelf.promote(0)
    shelf.promote(1)
    change_byte(shelf.store.folder / shelf.digests[0] / "pattern_submodels.json")
    assert "refused" in refused(capsys, rollback, store=shelf.store.folder)
    assert shelf.served() == 1


def test_with_a_public_key_only_signed_models_are_promoted(
    shelf: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signature is copied into the store with the model."""
    keys = Keys(tmp_path, "signer")
    options = {"store": shelf.store.folder, "public_key": keys.public}
    assert "not signed" in refused(capsys, promote, str(shelf.models[0]), **options)
    sign(shelf.models[0], key=keys.private)
    promote(str(shelf.models[0]), **options)
    assert load(shelf.store.folder / CURRENT, None, keys.public.read_bytes()).model.digest == shelf.digests[0]


def test_list_shows_which_model_is_served(shelf: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """One row per model, the latest promotion first; the same as JSON."""
    shelf.promote(0)
    shelf.promote(1)
    rollback(store=shelf.store.folder)
    capsys.readouterr()
    list_(store=shelf.store.folder)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert {row[1] for row in rows if row[0] == "*"} == {shelf.digests[0]}
    assert {row[0] for row in rows if row[0] != "*"} == {shelf.digests[1]}
    list_(store=shelf.store.folder, json=True)
    told = {model["digest"]: model["is_current"] for model in json.loads(capsys.readouterr().out)}
    assert told == {shelf.digests[0]: True, shelf.digests[1]: False}


def test_the_store_can_be_moved(shelf: Models, tmp_path: Path) -> None:
    """The link is relative."""
    shelf.promote(0)
    shelf.store.folder.rename(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere" / CURRENT).model.digest == shelf.digests[0]


def _promoted(folder: Path, model: Path) -> None:
    Store(folder).promote(model, "race")


def test_concurrent_promotions_are_serialized(shelf: Models) -> None:
    """Both are in the history, and the link is that of the later one."""
    spawn = multiprocessing.get_context("spawn")
    racers = [spawn.Process(target=_promoted, args=(shelf.store.folder, model)) for model in shelf.models]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(120)
    history = shelf.store.history()
    assert sorted(change.digest for change in history) == sorted(shelf.digests)
    assert history[-1].digest == shelf.store.current()
    assert (shelf.store.folder / CURRENT / MANIFEST_FILE).exists()
