"""The native core reads records and writes scores exactly as the Python code does, which stays the reference.

Without the extension, these tests are skipped: `native/README.md` says how it is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import EncodableScore, encode_score, encode_score_lines, encode_scores
from schemas.records import Details, Source
from schemas.tables.toml_file import read_table
from scoring.batches import ColumnBatch, JsonBatch
from scoring.compiled_table import CompiledTable
from scoring.engines import Explanation
from scoring.extension import UnavailableError, load_extension
from scoring.features import Matrix
from scoring.model_artifact import Artifact, load
from scoring.native_decoder import NativeDecoder
from scoring.pipeline import Results
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected, rejected_unwritten
from tests.support.models import as_values, every_missing_pattern, random_rows
from tests.support.other_tables import as_lines, records
from tests.support.record_strategies import ODD_IDS, legal_records, near_records, values
from tests.support.table_strategies import tables, written_toml
from tests.support.uci import UCI
from training.data.frames import features, read_snapshot

try:
    EXTENSION = load_extension("auto", 1)
except UnavailableError as error:
    pytest.skip(f"{error}: native/README.md", allow_module_level=True)

MODELS = ("logistic_regression", "pattern_submodels", "random_forest", "gradient_boosting")
MANY = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
EXAMPLES = [value for _, value in accepted()] + [value for _, value, _ in [*rejected(), *rejected_unwritten()]]
Values = Sequence[bytes | None]


class Both:
    """A model, scored by the Python code and with the native core."""

    def __init__(self, artifact: Artifact, details: Details = Details()) -> None:  # noqa: B008  # it is frozen
        self.python = Scorer(artifact, details, native="off")
        self.native = Scorer(artifact, details, native="required")

    def check(self, sent: Values, sources: Sequence[Source | None] | None = None) -> None:
        """Assert that everything that an observer of the results sees is the same, to the bit."""
        expected, found = (
            scorer.score(JsonBatch(sent, sources=sources).decode(scorer.compiled))
            for scorer in (self.python, self.native)
        )
        assert encode_scores(found.scores) == encode_scores(expected.scores)
        assert list(found.positions) == list(expected.positions)
        assert (found.rejected, list(found.rejected)) == (expected.rejected, list(expected.rejected))
        assert found.declared == expected.declared
        assert found.evidence() == expected.evidence()
        for ours, theirs in ((found.matrix, expected.matrix), (found.risks, expected.risks)):
            assert (ours.shape, ours.tobytes()) == (theirs.shape, theirs.tobytes())
        assert found.labels.tolist() == expected.labels.tolist()


def sources_of(count: int) -> list[Source]:
    return [Source("patients", row % 3, 2**40 + row) for row in range(count)]


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest, model_dir: Path) -> Both:
    return Both(load(model_dir, request.param))


@pytest.fixture(scope="module")
def linear(linear_artifact: Artifact) -> Both:
    return Both(linear_artifact)


@pytest.fixture(scope="module")
def flchain(flchain_artifact: Artifact) -> Both:
    """Another table, with codes that are texts, and patterns that its tables do not list."""
    return Both(flchain_artifact)


def test_each_patient_has_the_same_score(both: Both) -> None:
    """The same bytes for all 920, and for records with any fields missing."""
    rows = np.concatenate([features(read_snapshot()), every_missing_pattern(), random_rows(500, 3)])
    sent = as_values(rows)
    both.check(sent, sources_of(len(sent)))


def test_patients_with_random_gaps_have_the_same_scores(both: Both) -> None:
    """Numbers in all notations of Python, in batches of all sizes."""
    rng = np.random.default_rng(1)
    rows = features(read_snapshot())
    rows[(rng.random(rows.shape) < 0.3) & np.isin(np.arange(rows.shape[1]), UCI.patterns.optional)] = np.nan
    sent, first = as_values(rows), 0
    while first < len(sent):
        size = int(rng.integers(1, 90))
        both.check(sent[first : first + size], sources_of(len(sent[first : first + size])))
        first += size


def test_examples_have_the_same_outcomes(both: Both) -> None:
    """Valid and invalid records of all kinds in one batch, with and without sources, and alone."""
    both.check(EXAMPLES, sources_of(len(EXAMPLES)))
    for value in EXAMPLES:
        both.check([value])


@MANY
@given(st.lists(values() | near_records() | legal_records() | st.none(), max_size=8))
def test_odd_records_have_the_same_outcomes(linear: Both, sent: Values) -> None:
    """Odd numbers, names, ids, codings, spaces and bytes, beside valid records."""
    linear.check(sent, sources_of(len(sent)))


@FEW
@given(st.data())
def test_odd_records_of_another_table_have_the_same_outcomes(flchain: Both, data: st.DataObject) -> None:
    """The same holds for codes that are texts."""
    table = flchain.native.compiled.table
    sent = data.draw(st.lists(values(table) | near_records(table) | legal_records(table), max_size=8))
    flchain.check(sent, sources_of(len(sent)))


def test_records_of_another_table_have_the_same_scores(flchain: Both) -> None:
    """Listed missing patterns and others."""
    flchain.check(as_lines(records(flchain.native.compiled, 500)), sources_of(500))


@FEW
@given(tables(), st.data())
def test_records_of_any_table_are_read_alike(document: dict[str, object], data: st.DataObject) -> None:
    """What the extension reads, the Python code reads as well, as the same numbers."""
    compiled = CompiledTable(read_table(written_toml(document).encode(), "t"))
    sent = data.draw(st.lists(values(compiled.table) | legal_records(compiled.table), max_size=6))
    expected = JsonBatch(sent).decode(compiled)
    compiled.native = NativeDecoder(EXTENSION, compiled.table)
    found = JsonBatch(sent).decode(compiled)
    assert found.matrix.tobytes() == expected.matrix.tobytes()
    assert (list(found.patient_ids), list(found.positions)) == (list(expected.patient_ids), list(expected.positions))
    assert (found.rejected, found.declared) == (expected.rejected, expected.declared)


@FEW
@given(st.binary(max_size=4), st.integers(0, 400), st.sampled_from(["replace", "insert", "cut"]), st.integers(0, 30))
def test_damaged_bytes_have_the_same_outcomes(linear: Both, piece: bytes, at: int, kind: str, row: int) -> None:
    """Any bytes at any place of a real record."""
    value = as_values(features(read_snapshot())[row : row + 1])[0]
    damaged = {
        "replace": value[:at] + piece + value[at + len(piece) :],
        "insert": value[:at] + piece + value[at:],
        "cut": value[:at],
    }[kind]
    linear.check([value, damaged, value], sources_of(3))


def test_plain_records_are_read_by_the_extension(linear: Both) -> None:
    """Otherwise these tests would compare Python with itself."""
    sent = as_values(np.concatenate([features(read_snapshot(("cleveland",))), random_rows(50)]))
    _, ids, others = NativeDecoder(EXTENSION, UCI.table).decode(sent)
    assert (others, ids) == ([], [f"p-{row}" for row in range(len(sent))])
    wide = [msgspec.json.encode({"patient_id": "é" * 128, **msgspec.json.decode(sent[0])} | {"patient_id": "é" * 128})]
    assert NativeDecoder(EXTENSION, UCI.table).decode(wide)[1:] == (["é" * 128], [])
    assert linear.native.native_reason is None


def test_a_duplicate_field_is_not_read_by_the_extension() -> None:
    """In a record with all its fields, with one of them twice, in place of another, and after a good record."""
    good = as_values(random_rows(1))[0]
    twice, instead = good.replace(b'"sex"', b'"age"'), good[:-1] + b', "age": 50}'
    assert NativeDecoder(EXTENSION, UCI.table).decode([good, twice, good, instead, good])[2] == [1, 3]


@pytest.mark.parametrize(
    "details",
    [
        Details(interval=False, label_set=False, reasons=0, measure_next=False),
        Details(interval=False, reasons=1, input_digest=True),
        Details(label_set=False, reasons=200),
    ],
    ids=["risk alone", "digests", "all reasons"],
)
@pytest.mark.parametrize("model", ["logistic_regression", "random_forest"])
def test_details_are_written_alike(model_dir: Path, model: str, details: Details) -> None:
    """What a score contains besides the risk can be turned off."""
    both = Both(load(model_dir, model), details)
    sent = [*as_values(every_missing_pattern()), *EXAMPLES]
    both.check(sent, sources_of(len(sent)))
    both.check(sent)


def test_ids_are_written_alike(linear: Both) -> None:
    """Ids with control characters, escapes and all planes of Unicode, and topics with quotes."""
    row = as_values(random_rows(1))[0]
    ids = [*map(msgspec.json.encode, map(chr, [*range(1, 0x500), 0x2028, 0xFFFF, 0x1F600])), *map(str.encode, SAFE_IDS)]
    sent = [row.replace(b'"p-0"', patient_id) for patient_id in ids]
    linear.check(sent, [Source('"topic\\', row, 0) for row in range(len(sent))])


SAFE_IDS = [each for each in ODD_IDS if not any(0xD800 <= ord(character) < 0xE000 for character in each)]


class Fixed:
    """An engine that gives any log-odds and contributions, by the first field of a record."""

    name, tolerance, imputes, has_submodels = "linear", 0.0, True, False

    def __init__(self, fields: tuple[str, ...], found: Explanation) -> None:
        self.fields, self.found = fields, found

    def explain(self, _matrix: object) -> Explanation:
        return self.found


def test_every_risk_is_written_alike(linear: Both) -> None:
    """All six decimals, with intervals of all four, and reasons of all three up to 5."""
    count = 5_000
    for start in (*range(0, 20_000, count), *range(985_000, 1_000_000, count)):
        numbers = np.arange(start, start + count + 1)
        contributions = np.tile((numbers - start)[:, None] / 1000.0, (1, 13)) * np.linspace(-1, 1, 13)
        log_odds = np.linspace(-12, 12, len(numbers))
        rows = random_rows(len(numbers), start)
        assert written(linear.native, rows, Explanation(numbers / 1e6, contributions, log_odds)) == written(
            linear.python, rows, Explanation(numbers / 1e6, contributions, log_odds)
        )


@pytest.mark.parametrize("number", [1e6, -1e9, 1e12])
def test_unusual_contributions_are_written_by_python(linear: Both, number: float) -> None:
    """A number that the extension does not write sends the batch to the Python code."""
    rows = random_rows(3)
    contributions = np.full((3, 13), -0.0)
    contributions[1, 4] = number
    found = Explanation(np.array([0.0, 0.5, 1.0]), contributions, np.array([-800.0, 0.0, 800.0]))
    assert written(linear.native, rows, found) == written(linear.python, rows, found)


@pytest.mark.parametrize("source", [Source("patients", -1, 0), Source("patients", 0, -1), Source("\ue000", 0, 2**63)])
def test_unusual_sources_are_written_by_python(linear: Both, source: Source) -> None:
    """Kafka has no negative offsets, but the type allows them."""
    linear.check(as_values(random_rows(2)), [None, source])


def written(scorer: Scorer, rows: Matrix, found: Explanation) -> list[bytes]:
    """Encode scores of results that no model would give."""
    engine = scorer._engine
    scorer._engine = Fixed(engine.fields, found)  # type: ignore[assignment]
    try:
        return encode_scores(scorer.score(JsonBatch(as_values(rows)).decode(scorer.compiled)).scores)
    finally:
        scorer._engine = engine


def test_parts_of_a_batch_are_written_alike(linear: Both) -> None:
    """As objects, as lines, as slices, and after a part was rejected."""
    sent = [*as_values(random_rows(10)), b"{}", *as_values(random_rows(5, 9))]
    expected, found = (
        scorer.score(JsonBatch(sent).decode(scorer.compiled)) for scorer in (linear.python, linear.native)
    )
    assert encode_score_lines(found.scores) == encode_score_lines(expected.scores)
    assert [encode_score(each) for each in objects(found)] == encode_scores(expected.scores)
    for ours, theirs in zip(found.split([4, 9, 3]), expected.split([4, 9, 3]), strict=True):
        assert encode_scores(ours.scores) == encode_scores(theirs.scores)
        assert ours.rejected == theirs.rejected
    assert encode_scores(found.rows([3, 1]).scores) == encode_scores(expected.rows([3, 1]).scores)


def objects(results: Results) -> list[EncodableScore]:
    return [each for each in results.outcomes() if isinstance(each, EncodableScore)]


def test_rows_of_a_table_are_written_alike(linear: Both) -> None:
    """They have no source, and no bytes to digest."""
    rows = random_rows(20)
    found, expected = (
        encode_scores(scorer.score(columns(rows).decode(scorer.compiled)).scores)
        for scorer in (linear.native, linear.python)
    )
    assert found == expected


def columns(rows: Matrix) -> ColumnBatch:
    ids = [f"p-{row}" for row in range(len(rows))]
    return ColumnBatch(ids, rows.copy(), np.zeros(len(rows), dtype=np.bool_), as_values(rows).__getitem__)
