"""The model directory: its files, and their verification before use.

No file is used before the SHA-256 of every listed file equals the manifest's. Fast engines read only numbers. A joblib
file runs code when it is loaded; it is loaded only if there is no fast engine. Whoever can write the manifest can still
run code that way: only the training job should be able to write the directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import ArtifactError
from schemas.records import ModelRef
from schemas.tables.checks import table_problems
from schemas.tables.feature_table import Feature, FeatureTable
from scoring import signature
from scoring.drift_reference import Reference
from scoring.files import WrongSizeError, read_file
from scoring.sklearn_fallback import Fitted, Pickle, unpickled

MANIFEST_FILE: Final = "manifest.json"
MANIFEST_SCHEMA: Final = "heartstream-model/4"
TABLE_FILE: Final = "feature-table.json"
PREPROCESSOR_FILE: Final = "preprocessor.joblib"
BEST_MODEL_FILE: Final = "best_model.joblib"
CARD_FILE: Final = "model-card.md"
CARD_DATA_FILE: Final = "model-card.json"
REPORT_FILE: Final = "report.json"
REFERENCE_FILE: Final = "reference.json"
ADAPTATION_FILE: Final = "adaptation.json"
_CARDS: Final = {"text/markdown": CARD_FILE, "application/json": CARD_DATA_FILE}
DIGEST_DIGITS: Final = 16
NO_DEVICE: Final = "Research and education only. Not a medical device, not for diagnosis or treatment decisions."
"""Part of the disclaimer of every model."""
MAKE_MODEL: Final = 'heartstream train makes one, in the folder "model" unless --output names another'
"""How to get a model, for error messages."""
_REMEDY: Final = "train the model again (heartstream train)"


class FileEntry(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 (hexadecimal) of one file of the artifact."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> FileEntry:
        """Measure a file's content."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


class DataEntry(msgspec.Struct, frozen=True):
    """The training data of a model. `sha256` is that of the training rows as CSV.

    `population` describes the training patients, such as "303 patients referred for coronary
    angiography at the Cleveland Clinic, 1981 to 1984". Training names them only if the rows are verified.
    """

    name: str
    rows: int
    positives: int
    sha256: str
    population: str = ""
    """Never empty in a served manifest; missing in older ones."""

    @property
    def disclaimer(self) -> str:
        """The disclaimer to show with every risk of the model."""
        return f"{NO_DEVICE} Trained on {self.population}; not validated for other patients."


class Metric(msgspec.Struct, frozen=True):
    """A cross-validated figure: its mean over the folds, and their standard deviation."""

    mean: float
    std: float


class ModelEntry(msgspec.Struct, frozen=True):
    """One trained classifier: `file` is its pickle.

    `plain` is its portable model for fast engines (None if there is no fast engine for this kind of classifier), `onnx`
    the forest compiled to ONNX, if it is one.
    """

    file: str
    onnx: str | None
    params: dict[str, str | int | float | bool | None]
    metrics: dict[str, Metric]
    plain: str | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is to be known about a model directory. Holds no clock: the same training gives the same bytes.

    `feature_table` is the identifier of the table in `TABLE_FILE`. `training_range` has, for each field, the smallest
    and largest value in the training rows. No value lies in that of a field which no row has: its first limit is above
    its second. `missing_patterns` are those that the model lists of a table with more than ten optional fields.
    """

    schema: str
    model_version: str
    best: str
    threshold: float
    seed: int
    feature_table: str
    data: DataEntry
    versions: dict[str, str]
    training_range: dict[str, tuple[float, float]]
    models: dict[str, ModelEntry]
    files: dict[str, FileEntry]
    missing_patterns: tuple[int, ...] = ()


class Artifact(msgspec.Struct, frozen=True):
    """A verified model directory.

    `table` is the feature table that the model was trained with. `plain` and `onnx` are the contents of the selected
    model's files of these kinds, None if there are none. `fitted` unpickles scikit-learn's objects; its first call
    blocks for about a second, and it raises ArtifactError. `cards` are the model card, by content type; `report` is its
    evaluation, as JSON; `reference` is the distribution of the training rows. Directories of older versions have none
    of these. `sha256` (hexadecimal) is the manifest's, which lists that of every file: two artifacts with the same one
    have the same content.
    """

    manifest: Manifest
    table: FeatureTable
    model: ModelRef
    plain: bytes | None
    onnx: bytes | None
    fitted: Callable[[], Fitted]
    sha256: str
    cards: dict[str, bytes] = {}
    report: bytes | None = None
    reference: Reference | None = None


def read_manifest(folder: Path, public_key: bytes | None = None) -> tuple[Manifest, str]:
    """Read the manifest; return it and its digest (first 16 hexadecimal digits). Raises ArtifactError.

    With a key it must be signed, and is not read before that is certain.
    """
    manifest, sha256 = _verified_manifest(folder, public_key)
    return manifest, sha256[:DIGEST_DIGITS]


def _verified_manifest(folder: Path, public_key: bytes | None) -> tuple[Manifest, str]:
    try:
        raw = read_file(folder / MANIFEST_FILE)
    except OSError as error:
        raise no_model(folder, error) from error
    if public_key is not None:
        signature.verify(folder, raw, public_key)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{folder / MANIFEST_FILE} is not a manifest: {error}") from error
    return manifest, hashlib.sha256(raw).hexdigest()


def no_model(folder: Path, error: OSError) -> ArtifactError:
    """Return the error for a missing or unreadable model; it names the command that makes one."""
    remedy = f"; {MAKE_MODEL}" if isinstance(error, FileNotFoundError | NotADirectoryError) else ""
    return ArtifactError(f"no model at {folder}: cannot read {MANIFEST_FILE} ({error.strerror}){remedy}")


def _manifest_problems(manifest: Manifest) -> list[str]:
    problems = []
    if manifest.schema != MANIFEST_SCHEMA:
        problems.append(f"manifest schema is {manifest.schema}, expected {MANIFEST_SCHEMA}: {_REMEDY}")
    elif not manifest.data.population:
        problems.append(f"the population that the model was trained on is not given: {_REMEDY}")
    if not 0 < manifest.threshold < 1:
        problems.append("the threshold does not lie between 0 and 1")
    return problems


def _range_problems(manifest: Manifest, table: FeatureTable) -> list[str]:
    problems = []
    absent = [name for name in table.names if name not in manifest.training_range]
    if absent:
        problems.append(f"no training range is given for {', '.join(absent)}")
    odd = [each.name for each in table.features if each.name not in absent and not _is_range(manifest, each)]
    if odd:
        problems.append(f"the training range of {', '.join(odd)} is invalid")
    return problems


def _table(content: bytes | None, manifest: Manifest, problems: list[str]) -> FeatureTable | None:
    """Read the feature table; add to `problems` what is wrong with it, and with the training ranges of its fields."""
    if content is None:
        problems.append(f"{TABLE_FILE}: not listed in the manifest")
        return None
    try:
        table = FeatureTable.from_json(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problems.append(f"{TABLE_FILE} is not a feature table: {error}")
        return None
    found = [problem.text for problem in table_problems(table)]
    if table.identifier != manifest.feature_table:
        found.append(f"it is {table.identifier}, the manifest says {manifest.feature_table}")
    if any(not 0 <= pattern < 1 << len(table.optional) for pattern in manifest.missing_patterns):
        found.append("the manifest lists missing patterns that the table does not have")
    problems.extend(f"{TABLE_FILE}: {text}" for text in found)
    problems.extend(_range_problems(manifest, table))
    return table


def _is_range(manifest: Manifest, feature: Feature) -> bool:
    """Return whether a field's training range is within its valid one, or is that of a field without any value."""
    (low, high), (lowest, highest) = manifest.training_range[feature.name], feature.interval
    return lowest <= low <= high <= highest or (low, high) == (highest, lowest)


def _read_files(folder: Path, manifest: Manifest, problems: list[str]) -> dict[str, bytes]:
    """Read every listed file once, so that what is verified is what is loaded; add to `problems` what is wrong."""
    contents: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        if Path(name).name != name or "\0" in name:
            problems.append(f"{name}: not a plain file name")
            continue
        try:
            contents[name] = read_file(folder / name, entry.size)
        except WrongSizeError as error:
            problems.append(f"{name}: {error.strerror}")
            continue
        except OSError as error:
            problems.append(f"{name}: cannot be read ({error.strerror})")
            continue
        actual = FileEntry.of(contents[name])
        if actual != entry:
            expected = f"expected {entry.size} bytes and SHA-256 {entry.sha256}"
            problems.append(f"{name}: has {actual.size} bytes and SHA-256 {actual.sha256}, {expected}")
    return contents


def load(folder: Path, name: str | None = None, public_key: bytes | None = None) -> Artifact:
    """Verify a model directory and choose one of its classifiers: `name`, or the one that training called best.

    With a `public_key` (PEM), the manifest must have been signed with its private key.

    Raises ArtifactError, which lists all that is wrong. Nothing is unpickled here.
    """
    manifest, sha256 = _verified_manifest(folder, public_key)
    chosen, problems = name or manifest.best, _manifest_problems(manifest)
    contents = _read_files(folder, manifest, problems)
    entry = manifest.models.get(chosen)
    if entry is None:
        problems.append(f"no model named {chosen}; there are {', '.join(sorted(manifest.models))}")
        raise _refused(folder, problems)
    table = _table(contents.get(TABLE_FILE), manifest, problems)
    wanted = [PREPROCESSOR_FILE, entry.file, *(file for file in (entry.onnx, entry.plain) if file)]
    problems.extend(f"{file}: not listed in the manifest" for file in wanted if file not in manifest.files)
    reference = _reference(contents.get(REFERENCE_FILE), table, problems)
    if problems or table is None:
        raise _refused(folder, problems)
    return Artifact(
        manifest=manifest,
        table=table,
        model=ModelRef(name=chosen, version=manifest.model_version, digest=sha256[:DIGEST_DIGITS]),
        plain=contents[entry.plain] if entry.plain else None,
        onnx=contents[entry.onnx] if entry.onnx else None,
        report=contents.get(REPORT_FILE),
        reference=reference,
        cards={kind: contents[file] for kind, file in _CARDS.items() if file in contents},
        fitted=_opener(folder, manifest, *(Pickle(file, contents[file]) for file in (PREPROCESSOR_FILE, entry.file))),
        sha256=sha256,
    )


def _reference(content: bytes | None, table: FeatureTable | None, problems: list[str]) -> Reference | None:
    """Read the reference, if there is one; add to `problems` what is wrong with it."""
    try:
        return None if content is None or table is None else Reference.of_json(content, table.names)
    except ArtifactError as error:
        problems.append(f"{REFERENCE_FILE}: {error}")
        return None


def _opener(folder: Path, manifest: Manifest, preprocessor: Pickle, classifier: Pickle) -> Callable[[], Fitted]:
    """Return what unpickles two verified files, once."""

    @cache
    def fitted() -> Fitted:
        try:
            return unpickled(preprocessor, classifier, manifest.versions.get("scikit-learn"))
        except ArtifactError as error:
            raise _refused(folder, [str(error)]) from error

    return fitted


def _refused(folder: Path, problems: list[str]) -> ArtifactError:
    return ArtifactError("; ".join((f"model directory {folder} refused", *problems)))
