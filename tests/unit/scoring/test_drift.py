"""Drift of a window of records from the training patients, and when it is not reported."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from heartstream.demo.patients import Record
from runtime import events, metrics
from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.drift import ENOUGH_RECORDS, Drift, Window
from scoring.drift_reference import FieldReference, Histogram, Reference
from scoring.features import Matrix
from scoring.model_artifact import MANIFEST_FILE, REFERENCE_FILE, FileEntry, load, read_manifest
from scoring.model_manager import ModelManager
from scoring.scorer import Scorer
from tests.support.drift import INPUTS, SCORES, drifting, patients_of
from tests.support.outcomes import Rejected, process
from tests.support.tables import each_table
from tests.support.uci import FEATURE_NAMES, UCI

MODELS = ("logistic_regression", "pattern_submodels", "random_forest", "gradient_boosting")
TENTHS = Histogram(tuple(float(edge) for edge in range(1, 10)), (30,) * 10)


def even_reference(compiled: CompiledTable = UCI) -> Reference:
    """Return the reference of training patients whose fields, and risks in tenths, are uniform from 0 to 10."""
    return Reference(
        "heartstream-reference/1",
        300,
        dict.fromkeys(compiled.table.names, FieldReference(TENTHS, 0)),
        {"m": Histogram(tuple(edge / 10 for edge in TENTHS.edges), TENTHS.counts)},
    )


def even(seed: int, records: int, compiled: CompiledTable = UCI) -> Matrix:
    """Draw records from the uniform distribution of `even_reference`."""
    return np.random.default_rng(seed).uniform(0, 10, (records, len(compiled.table.names)))


def window(records: int = 1_000, compiled: CompiledTable = UCI) -> Window:
    ranges = dict.fromkeys(compiled.table.names, (0.0, 10.0))
    return Window(even_reference(compiled), "m", ranges, records, compiled)


def noted(rows: Matrix, batch: int = 10, compiled: CompiledTable = UCI) -> Drift:
    """Add these rows to a window; their first column is also their risk in tenths."""
    seen = window(compiled=compiled)
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        seen.add(part, np.nan_to_num(part[:, 0]) / 10)
    return seen.measure()


def score(scorer: Scorer, patients: Iterator[Record], records: int) -> set[str]:
    """Score patients as every interface does; return the alerts whose condition then holds."""
    while records > 0:
        values = [json.dumps(patient).encode() for patient in itertools.islice(patients, 50)]
        outcomes = process(values, [None] * len(values), ModelManager(scorer))
        assert not any(isinstance(outcome, Rejected) for outcome in outcomes)
        records -= len(values)
    return alerts(scorer.window)


def alerts(seen: Window | None) -> set[str]:
    assert seen is not None
    msgspec.convert(seen.measure(), events.DriftMeasured, from_attributes=True).emit()
    return drifting(metrics.read(metrics.render()[0].decode()))


@pytest.mark.parametrize("model", MODELS)
def test_cleveland_is_not_drift_and_long_beach_is(model_dir: Path, model: str) -> None:
    """Real patients: the training hospital's never raise an alert, however often they repeat; another's raise both."""
    scorer = Scorer(load(model_dir, model), window_records=1_000)
    cleveland = patients_of("cleveland", 1)
    assert [score(scorer, cleveland, 250) for _ in range(12)] == [set()] * 12
    assert score(scorer, patients_of("va", 2), 1_100) == {INPUTS, SCORES}
    assert score(scorer, cleveland, 1_100) == set()


@pytest.mark.parametrize("site", ["hungarian", "switzerland"])
def test_every_other_hospital_drifts(model_dir: Path, site: str) -> None:
    """Each hospital has different patients or measures differently."""
    scorer = Scorer(load(model_dir), window_records=1_000)
    assert INPUTS in score(scorer, patients_of(site, 3), 1_000)


def test_random_variation_is_not_drift() -> None:
    """In 50 windows of 200 to 2,000 records like the training rows no field comes near the limit of 0.25."""
    found = [noted(even(seed, 200 + 40 * seed)) for seed in range(50)]
    values = np.array([[value for value in drift.psi.values() if value is not None] for drift in found])
    assert values.shape == (50, len(FEATURE_NAMES))
    assert values.max() < 0.15
    assert values.mean() < 0.02


@each_table
def test_a_shift_is_reported_for_its_field_only(compiled: CompiledTable) -> None:
    """One field's values move by a third of their range; the others stay."""
    rows = even(1, 1_000, compiled)
    rows[:, 4] = np.clip(rows[:, 4] + 3, 0, 10)
    psi = noted(rows, compiled=compiled).psi
    assert [name for name, value in psi.items() if value is None or value > 0.25] == [compiled.table.names[4]]


@each_table
def test_missing_values_are_reported_apart_from_measured_ones(compiled: CompiledTable) -> None:
    """A field that half of the records lack has a missing ratio of a half, and no PSI."""
    names, rows = compiled.table.names, even(2, 1_000, compiled)
    rows[::2, 6] = np.nan
    drift = noted(rows, compiled=compiled)
    assert drift.missing == {name: 0.5 if name == names[6] else 0.0 for name in names}
    assert (drift.psi[names[6]] or 0) < 0.1


@each_table
def test_the_out_of_range_ratio_counts_measured_values(compiled: CompiledTable) -> None:
    """Of 500 measured values 100 are above and 100 below the range."""
    names, rows = compiled.table.names, even(3, 1_000, compiled)
    rows[:500, 5], rows[500:600, 5], rows[600:700, 5] = np.nan, 11, -1
    found = noted(rows, compiled=compiled).out_of_range
    assert found == {name: 0.4 if name == names[5] else 0.0 for name in names}


def test_shifted_risks_are_reported() -> None:
    """All risks are below a half."""
    rows = even(4, 1_000)
    rows[:, 0] /= 2
    assert (noted(rows).score_psi or 0) > 0.25
    assert (noted(even(4, 1_000)).score_psi or 0) < 0.1


def test_too_few_records_report_nothing() -> None:
    """199 records report nothing, 200 everything; a field that 199 of them have reports its missing ratio only."""
    drift = noted(even(5, ENOUGH_RECORDS - 1), 1)
    assert (drift.records, drift.score_psi) == (ENOUGH_RECORDS - 1, None)
    assert {*drift.psi.values(), *drift.missing.values(), *drift.out_of_range.values()} == {None}
    rows = even(5, ENOUGH_RECORDS)
    rows[0, 3] = np.nan
    drift = noted(rows)
    assert drift.score_psi is not None
    assert [name for name, value in drift.psi.items() if value is None] == [FEATURE_NAMES[3]]
    assert drift.missing[FEATURE_NAMES[3]] == pytest.approx(1 / ENOUGH_RECORDS)


@pytest.mark.parametrize("batch", [1, 7, 64, 65, 1_000, 4_000])
def test_the_window_drops_old_records(batch: int) -> None:
    """Whatever the batch size, it holds the most recent records: at least its size, and less than one batch more."""
    seen = window(300)
    shifted, after = even(6, 40_000) + 20, even(7, 40_000)
    for rows in (shifted, after):
        for first in range(0, len(rows), batch):
            seen.add(rows[first : first + batch], np.full(len(rows[first : first + batch]), 0.5))
    drift = seen.measure()
    assert 300 <= drift.records < 364
    assert set(drift.out_of_range.values()) == {0.0}


def test_an_empty_batch_is_not_stored() -> None:
    """A batch whose records are all rejected leaves no entry."""
    seen = window()
    for _ in range(10):
        seen.add(np.empty((0, len(FEATURE_NAMES))), np.empty(0))
    assert (seen.measure().records, len(seen._batches)) == (0, 0)


def test_alternating_producers_are_sampled_equally() -> None:
    """If every other record comes from another producer, half of the sample does."""
    rows = even(8, 640)
    rows[::2, 9] = np.nan
    seen = window()
    for _ in range(50):
        seen.add(rows, np.full(len(rows), 0.5))
    assert seen.measure().missing[FEATURE_NAMES[9]] == pytest.approx(0.5, abs=0.05)


def test_a_model_without_a_drift_reference_is_served_without_drift(folder: Path) -> None:
    """Older training runs wrote no reference; the scores are the same."""
    with_reference = Scorer(load(folder), window_records=500)
    rewrite(folder, None)
    without = Scorer(load(folder), window_records=500)
    assert (with_reference.window is None, without.window) == (False, None)
    value = json.dumps(next(patients_of("cleveland", 1))).encode()
    bare, watched = (process([value], [None], scorer)[0].value for scorer in (without, with_reference))
    assert bare.replace(without.model.digest.encode(), with_reference.model.digest.encode()) == watched


def test_a_window_of_zero_records_disables_drift(model_dir: Path) -> None:
    """So does a missing setting."""
    assert Scorer(load(model_dir), window_records=0).window is None
    assert Scorer(load(model_dir)).window is None


def broken() -> Iterable[tuple[str, object]]:
    """Yield invalid references, with what is wrong."""
    document = msgspec.to_builtins(even_reference())
    field, fields = document["fields"]["age"], document["fields"]
    yield "other schema", {**document, "schema": "heartstream-reference/9"}
    yield "a field is absent", {**document, "fields": {name: each for name, each in fields.items() if name != "ca"}}
    for wrong, histogram in {
        "too few counts": {"edges": [1, 2], "counts": [1, 2]},
        "edges that fall": {"edges": [2, 1], "counts": [1, 2, 3]},
        "a count below zero": {"edges": [1], "counts": [-1, 3]},
        "nothing counted": {"edges": [1], "counts": [0, 0]},
    }.items():
        yield wrong, {**document, "fields": {**fields, "age": {**field, "measured": histogram}}}
    yield "risks in halves", {**document, "risks": {"m": {"edges": [0.5], "counts": [1, 2]}}}
    yield "no object", []


@pytest.mark.parametrize(("wrong", "document"), list(broken()))
def test_an_invalid_drift_reference_is_refused(folder: Path, wrong: str, document: object) -> None:
    """Even with a matching manifest, a model whose reference cannot be read is not loaded."""
    rewrite(folder, msgspec.json.encode(document))
    with pytest.raises(ArtifactError, match=r"reference\.json"):
        load(folder)
    assert wrong


def rewrite(folder: Path, reference: bytes | None) -> None:
    """Replace or remove the reference of a model directory, with its entry in the manifest."""
    manifest, _ = read_manifest(folder)
    files = {name: entry for name, entry in manifest.files.items() if name != REFERENCE_FILE}
    (folder / REFERENCE_FILE).unlink()
    if reference is not None:
        (folder / REFERENCE_FILE).write_bytes(reference)
        files[REFERENCE_FILE] = FileEntry.of(reference)
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))
