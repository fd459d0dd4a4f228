"""A model store: a folder of model directories, each named by its digest, and a link to the one that is to be served.

Nothing in it is written over. A model is proved where it lies, so that what was proved is what the link then names; the
link moves in one step. Links are relative: the folder may be mounted anywhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import msgspec

from runtime.files import locked, write_atomically
from schemas.errors import ArtifactError, DependencyError
from scoring import signature
from scoring.artifact import MAKE_MODEL, MANIFEST_FILE, Manifest, read_manifest
from scoring.candidate import Proof, prove

CURRENT: Final = "current"
_HISTORY: Final = "history.ndjson"
_BEGINNING: Final = b'{"at":'
_LOCK: Final = ".lock"


class Change(msgspec.Struct, frozen=True):
    """A line of the store's history: when (UTC), what was done, the model's digest, and where it came from."""

    at: str
    action: Literal["promote", "rollback"]
    digest: str
    source: str


class Kept(msgspec.Struct, frozen=True):
    """A model of the store; `promoted` is when it last became the one to be served, None if never."""

    digest: str
    best: str
    version: str
    rows: int
    is_current: bool
    is_signed: bool
    promoted: str | None


class Store:
    """One store. Commands that change it wait for each other. Everything raises DependencyError where files fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self) -> str | None:
        """Return the digest that the link names, None where there is no link."""
        link = self.folder / CURRENT
        return link.readlink().name if link.is_symlink() else None

    def history(self) -> list[Change]:
        """Return what was done, oldest first."""
        path = self.folder / _HISTORY
        try:
            lines = path.read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise DependencyError(f"cannot read {path}: {error.strerror}") from error
        changes = []
        for number, line in enumerate(lines, 1):
            try:
                # Versions that appended left half a line on a full disk, and then wrote the next one behind it.
                changes.append(msgspec.json.decode(line[max(0, line.rfind(_BEGINNING)) :], type=Change))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                if number < len(lines):
                    raise DependencyError(f"{path}: line {number} is damaged: repair or remove it") from error
        return changes

    def kept(self) -> list[Kept]:
        """Return the models that are there, the one that became current last first."""
        if not self.folder.is_dir():
            raise self._absent()
        history = self.history()
        promoted = {change.digest: change.at for change in history}
        # Two promotions may be of one second.
        order = {change.digest: place for place, change in enumerate(history)}
        found = [self._described(path, promoted) for path in self.folder.iterdir() if (path / MANIFEST_FILE).exists()]
        models = [each for each in found if each is not None]
        return sorted(models, key=lambda model: (order.get(model.digest, -1), model.digest), reverse=True)

    def _absent(self) -> DependencyError:
        return DependencyError(f"no model store at {self.folder}: heartstream model promote makes one")

    def _described(self, path: Path, promoted: dict[str, str]) -> Kept | None:
        if path.is_symlink():
            return None
        manifest, digest = read_manifest(path)
        return Kept(
            digest,
            manifest.best,
            manifest.model_version,
            manifest.data.rows,
            digest == self.current(),
            (path / signature.SIGNATURE_FILE).exists(),
            promoted.get(digest),
        )

    def promote(self, model: Path, source: str, public_key: Path | None = None) -> Proof:
        """Take a model directory into the store, prove it, and let the link name it. Blocks for seconds.

        Raises ArtifactError where it is refused; then nothing is changed.
        """
        with self._changing():
            manifest, digest = read_manifest(model)
            place = self.folder / digest
            if place.exists():
                proof = prove(place, None, public_key)
            else:
                proof = self._taken(model, manifest, place, public_key)
            self._serve(Change(_now(), "promote", digest, source))
            return proof

    def _taken(self, model: Path, manifest: Manifest, place: Path, public_key: Path | None) -> Proof:
        """Copy what the manifest lists, prove the copy, and give it its name."""
        with TemporaryDirectory(dir=self.folder, prefix=".candidate-") as folder:
            copy = Path(folder) / "model"
            copy.mkdir()
            for name in (MANIFEST_FILE, signature.SIGNATURE_FILE, *manifest.files):
                if Path(name).name == name and (model / name).is_file():
                    shutil.copyfile(model / name, copy / name)
            proof = prove(copy, None, public_key)
            if proof.model.digest != place.name:
                raise ArtifactError(f"{model} changed while it was copied")
            copy.rename(place)
        return proof

    def rollback(self, public_key: Path | None = None) -> Proof:
        """Let the link name the model that was promoted before the current one. Raises ArtifactError as `promote`."""
        if self.current() is None:
            raise self._absent()
        with self._changing():
            before = _before(self.history())
            if before is None:
                raise ArtifactError(
                    f"{self.folder}: no model was promoted before the current one ({self.current()}); once heartstream "
                    "model promote has let another take its place, rollback brings this one back"
                )
            proof = prove(self.folder / before.digest, None, public_key)
            self._serve(Change(_now(), "rollback", before.digest, before.source))
            return proof

    def find(self, digest: str) -> Path:
        """Return the one model whose digest begins so. Raises ArtifactError where there is none, or many."""
        found = [path for path in self.folder.glob(f"{digest}*") if (path / MANIFEST_FILE).exists()]
        found = [path for path in found if not path.is_symlink()]
        if len(found) > 1:
            raise ArtifactError(f"{digest} is the beginning of {len(found)} models' digests")
        if not found:
            raise ArtifactError(f"no model at {digest}, nor one of that digest in {self.folder}; {MAKE_MODEL}")
        return found[0]

    def _serve(self, change: Change) -> None:
        """Write the history, then move the link: a link that nobody wrote of would have no way back.

        Both are prepared before either is seen, so that a full disk changes nothing.
        """
        moved = self.folder / f".{CURRENT}"
        moved.unlink(missing_ok=True)
        moved.symlink_to(change.digest)
        lines = [msgspec.json.encode(each) + b"\n" for each in (*self.history(), change)]
        write_atomically(self.folder / _HISTORY, b"".join(lines))
        moved.replace(self.folder / CURRENT)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store's lock, which ends with the process, whatever becomes of it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / _LOCK):
                yield
        except OSError as error:
            place = error.filename or self.folder
            raise DependencyError(f"cannot write the model store: {place}: {error.strerror}") from error


def _before(history: list[Change]) -> Change | None:
    """Return the promotion before the current one: a rollback takes back the last that was not taken back."""
    stack: list[Change] = []
    for change in history:
        if change.action == "rollback":
            stack = stack[:-1]
        elif not stack or stack[-1].digest != change.digest:
            stack.append(change)
    return stack[-2] if len(stack) > 1 else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
