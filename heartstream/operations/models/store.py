"""A model store: a folder of model directories, each named by its digest, and a link to the one that is served.

Nothing in it is overwritten. A model is verified in place, so the link points to exactly what was verified; the link is
replaced atomically. Links are relative, so the folder may be mounted anywhere.
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

from heartstream.operations.models.change_check import violations
from heartstream.operations.models.change_plan import PLAN_FILE, ChangePlan, read_plan
from runtime.files import locked, write_atomically
from schemas.errors import ArtifactError, DependencyError
from scoring import signature
from scoring.isolated_load import VerifiedModel, verify_model
from scoring.model_artifact import MAKE_MODEL, MANIFEST_FILE, Manifest, read_manifest

CURRENT: Final = "current"
_HISTORY: Final = "history.ndjson"
_LINE_START: Final = b'{"at":'
_LOCK: Final = ".lock"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the store's history: time (UTC), action, digest and source of the model.

    `plan` is the SHA-256 of the change-control plan that the promotion was checked against, `overridden` the rules that
    it breaks, and `approved_by` the person who approved it.
    """

    at: str
    action: Literal["promote", "rollback"]
    digest: str
    source: str
    plan: str = ""
    overridden: tuple[str, ...] = ()
    approved_by: str = ""


class StoredModel(msgspec.Struct, frozen=True):
    """A model of the store; `promoted` is the time of its last promotion, None if there was none."""

    digest: str
    best: str
    version: str
    rows: int
    is_current: bool
    is_signed: bool
    promoted: str | None


class Store:
    """A model store. Commands that change it are serialized by a lock. File errors raise DependencyError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self) -> str | None:
        """Return the digest of the current model, None if there is no link."""
        link = self.folder / CURRENT
        return link.readlink().name if link.is_symlink() else None

    def history(self) -> list[Change]:
        """Return the changes, oldest first."""
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
                # Older versions could leave half a line on a full disk, and append the next one to it.
                changes.append(msgspec.json.decode(line[max(0, line.rfind(_LINE_START)) :], type=Change))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                if number < len(lines):
                    raise DependencyError(f"{path}: line {number} is damaged: repair or remove it") from error
        return changes

    def models(self) -> list[StoredModel]:
        """Return the models, most recently promoted first."""
        if not self.folder.is_dir():
            raise self._missing_error()
        history = self.history()
        promoted = {change.digest: change.at for change in history}
        # Two promotions may have the same second.
        order = {change.digest: index for index, change in enumerate(history)}
        found = [self._describe(path, promoted) for path in self.folder.iterdir() if (path / MANIFEST_FILE).exists()]
        models = [each for each in found if each is not None]
        return sorted(models, key=lambda model: (order.get(model.digest, -1), model.digest), reverse=True)

    def _missing_error(self) -> DependencyError:
        return DependencyError(f"no model store at {self.folder}: heartstream model promote creates one")

    def _describe(self, path: Path, promoted: dict[str, str]) -> StoredModel | None:
        if path.is_symlink():
            return None
        manifest, digest = read_manifest(path)
        return StoredModel(
            digest,
            manifest.best,
            manifest.model_version,
            manifest.data.rows,
            digest == self.current(),
            (path / signature.SIGNATURE_FILE).exists(),
            promoted.get(digest),
        )

    def promote(self, model: Path, source: str, public_key: Path | None = None, approved_by: str = "") -> VerifiedModel:
        """Copy a model directory into the store, verify it, and make it current. Blocks for seconds.

        Raises ArtifactError if it is refused, also because the store's change-control plan does not allow the change
        and no person approved it; then nothing changes. Raises DataError for an invalid plan.
        """
        with self._locked():
            plan, (manifest, digest) = read_plan(self.folder), read_manifest(model)
            with self._candidate(model, manifest, digest) as folder:
                verified = verify_model(folder, None, public_key)
                if verified.model.digest != digest:
                    raise ArtifactError(f"{model} changed while it was copied")
                broken = self._broken_rules(plan, folder, public_key)
                if broken and not approved_by.strip():
                    raise ArtifactError(
                        f"{self.folder / PLAN_FILE} does not allow this change without a person: {'; '.join(broken)} "
                        "(--approved-by NAME approves it)"
                    )
            self._activate(Change(_now(), "promote", digest, source, plan.sha256 if plan else "", broken, approved_by))
            return verified

    def _broken_rules(self, plan: ChangePlan | None, candidate: Path, public_key: Path | None) -> tuple[str, ...]:
        """Return the rules of the plan that a verified candidate breaks."""
        if plan is None:
            return ()
        current = self.current()
        served = None if current is None else self.folder / current
        return violations(plan, served, candidate, is_signed=public_key is not None)

    @contextmanager
    def _candidate(self, model: Path, manifest: Manifest, digest: str) -> Iterator[Path]:
        """Yield the stored model, or a copy of the manifest's files, which is stored unless the block fails."""
        stored = self.folder / digest
        if stored.exists():
            yield stored
            return
        with TemporaryDirectory(dir=self.folder, prefix=".candidate-") as scratch:
            copy = Path(scratch) / "model"
            copy.mkdir()
            for name in (MANIFEST_FILE, signature.SIGNATURE_FILE, *manifest.files):
                if Path(name).name == name and (model / name).is_file():
                    shutil.copyfile(model / name, copy / name)
            yield copy
            copy.rename(stored)

    def rollback(self, public_key: Path | None = None) -> VerifiedModel:
        """Make the previously promoted model current. Raises ArtifactError and DataError as `promote`.

        Of the plan's rules only that of signatures holds: the model was promoted before.
        """
        if self.current() is None:
            raise self._missing_error()
        with self._locked():
            before = _previous(self.history())
            if before is None:
                raise ArtifactError(
                    f"{self.folder}: no model was promoted before the current one ({self.current()}): roll back after "
                    "heartstream model promote has replaced it"
                )
            plan = read_plan(self.folder)
            if plan and plan.signed and public_key is None:
                raise ArtifactError(f"{self.folder / PLAN_FILE} requires a verified signature (--public-key)")
            verified = verify_model(self.folder / before.digest, None, public_key)
            if verified.model.digest != before.digest:
                raise ArtifactError(
                    f"{self.folder / before.digest} was changed: its digest is {verified.model.digest} (remove it, and "
                    "promote the original)"
                )
            self._activate(Change(_now(), "rollback", before.digest, before.source))
            return verified

    def find(self, digest: str) -> Path:
        """Return the model with this digest prefix. Raises ArtifactError if there is none, or more than one."""
        found = [path for path in self.folder.glob(f"{digest}*") if (path / MANIFEST_FILE).exists()]
        found = [path for path in found if not path.is_symlink()]
        if len(found) > 1:
            raise ArtifactError(f"{digest} is the prefix of {len(found)} digests")
        if not found:
            raise ArtifactError(f"no model at {digest}, nor one with that digest in {self.folder}; {MAKE_MODEL}")
        return found[0]

    def _activate(self, change: Change) -> None:
        """Write the history, then replace the link, so that every change can be rolled back.

        Both are prepared before either becomes visible, so a full disk changes nothing.
        """
        moved = self.folder / f".{CURRENT}"
        moved.unlink(missing_ok=True)
        moved.symlink_to(change.digest)
        lines = [msgspec.json.encode(each) + b"\n" for each in (*self.history(), change)]
        write_atomically(self.folder / _HISTORY, b"".join(lines))
        moved.replace(self.folder / CURRENT)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the store, which the system releases when the process ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / _LOCK):
                yield
        except OSError as error:
            path = error.filename or self.folder
            raise DependencyError(f"cannot write the model store: {path}: {error.strerror}") from error


def _previous(history: list[Change]) -> Change | None:
    """Return the promotion before the current one: each rollback undoes the last promotion that was not undone."""
    stack: list[Change] = []
    for change in history:
        if change.action == "rollback":
            stack = stack[:-1]
        elif not stack or stack[-1].digest != change.digest:
            stack.append(change)
    return stack[-2] if len(stack) > 1 else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
