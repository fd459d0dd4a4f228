"""Rows and lines of files have the same outcomes with the native core as in Python.

Without the extension, these tests are skipped: `native/README.md` says how it is built.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartstream.files.score import Request, score_file
from schemas.codec import encode_score_lines, encode_scores
from schemas.records import Details
from schemas.tables.toml_file import read_table
from scoring.batches import ColumnBatch, JsonBatch
from scoring.compiled_table import CompiledTable
from scoring.extension import UnavailableError, load_extension
from scoring.features import Matrix
from scoring.lines import Lines
from scoring.model_artifact import Artifact
from scoring.native_decoder import NativeDecoder
from scoring.pipeline import Batch, Results
from scoring.scorer import Scorer
from scoring.text_column import TextColumn
from tests.support.examples import accepted, rejected, rejected_unwritten
from tests.support.file_tables import COMPLETE, NAMES, unseen
from tests.support.models import as_values, every_missing_pattern, random_rows
from tests.support.record_strategies import legal_records, near_records, values
from tests.support.table_strategies import tables, written_toml
from tests.support.uci import UCI
from training.data.frames import features, read_snapshot

try:
    EXTENSION = load_extension("auto", 1)
except UnavailableError as error:
    pytest.skip(f"{error}: native/README.md", allow_module_level=True)

FEW = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
SENT = [value for _, value in accepted()] + [value for _, value, _ in [*rejected(), *rejected_unwritten()]]
EXAMPLES = [value for value in SENT if value is not None]
Cores = tuple[Scorer, Scorer]


@pytest.fixture(scope="module", params=["linear_artifact", "pattern_artifact", "forest_artifact"])
def cores(request: pytest.FixtureRequest) -> Cores:
    artifact: Artifact = request.getfixturevalue(request.param)
    return Scorer(artifact, native="off"), Scorer(artifact, native="required")


@pytest.fixture(scope="module")
def linear(linear_artifact: Artifact) -> Cores:
    return Scorer(linear_artifact, native="off"), Scorer(linear_artifact, native="required")


def assert_same(cores: Cores, python: Batch, native: Batch) -> Results:
    """Assert that a batch has the same lines, objects, numbers and errors; returns the results."""
    pairs = zip(cores, (python, native), strict=True)
    expected, found = (scorer.score(batch.decode(scorer.compiled)) for scorer, batch in pairs)
    lines = encode_score_lines(expected.scores)
    assert encode_score_lines(found.scores) == lines
    assert encode_score_lines(found.scores[: found.scored]) == lines
    assert encode_scores(found.scores[1:]) == encode_scores(expected.scores[1:])
    assert list(found.scores) == list(expected.scores)
    assert (list(found.positions), found.rejected) == (list(expected.positions), expected.rejected)
    assert (found.declared, found.evidence()) == (expected.declared, expected.evidence())
    assert found.matrix.tobytes() == expected.matrix.tobytes()
    return found


def check_block(cores: Cores, block: bytes) -> Results:
    return assert_same(cores, JsonBatch(Lines(block)), JsonBatch(Lines(block)))


def test_lines_have_the_same_scores(cores: Cores) -> None:
    """Patients with all gaps, with and without a line ending after the last."""
    rows = np.concatenate([features(read_snapshot()), every_missing_pattern(), random_rows(200, 5)])
    block = b"\n".join(as_values(rows))
    for ending in (b"", b"\n", b"\r\n"):
        check_block(cores, block + ending)


def test_example_lines_have_the_same_outcomes(cores: Cores) -> None:
    """Valid and invalid records, between blank lines."""
    check_block(cores, b"\n \n\t\r\n\x0b\x0c\n".join(EXAMPLES) + b"\n\n")
    check_block(cores, b" \n")


@FEW
@given(
    st.lists(values() | near_records() | legal_records() | st.binary(max_size=3), max_size=8),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \n"]),
)
def test_odd_lines_have_the_same_outcomes(linear: Cores, sent: list[bytes], ending: bytes) -> None:
    """Odd numbers, names, ids, codings, spaces and bytes, beside valid records."""
    check_block(linear, ending.join(sent))


def test_plain_lines_become_no_objects(linear: Cores) -> None:
    """Otherwise these tests would compare Python with itself."""
    block = b"\n".join(as_values(random_rows(50)))
    matrix, ids, others = NativeDecoder(EXTENSION, UCI.table).decode_lines(block + b"\n\n")
    assert (matrix.shape, len(ids), others) == ((50, 13), 50, {})
    assert list(ids) == [f"p-{row}" for row in range(50)]
    results = check_block(linear, block)
    assert isinstance(JsonBatch(Lines(block)).decode(linear[1].compiled).patient_ids, TextColumn)
    assert results.scored == 50


def test_a_record_does_not_end_beyond_its_line(linear: Cores) -> None:
    """A line ending is white space in JSON."""
    good = as_values(random_rows(1))[0]
    middle = good.index(b",") + 1
    assert check_block(linear, good[:middle] + b"\n" + good[middle:] + b"\n" + good).scored == 1


@FEW
@given(tables(), st.data())
def test_rows_of_any_table_are_checked_alike(document: dict[str, object], data: st.DataObject) -> None:
    """Numbers at, within and beyond limits, gaps and codes for "not measured"."""
    compiled = CompiledTable(read_table(written_toml(document).encode(), "t"))
    width = len(compiled.table.features)
    edges = [edge for feature in compiled.table.features for edge in (*feature.interval, *feature.missing)]
    numbers = (
        st.sampled_from([*map(float, edges), -0.0, np.nan, np.inf]) | st.integers(-20, 110).map(float) | st.floats()
    )
    drawn = data.draw(st.lists(st.lists(numbers, min_size=width, max_size=width), max_size=20))
    expected = np.array(drawn).reshape(len(drawn), width)
    found = expected.copy()
    compiled.matrix.blank_missing(expected)
    legal = compiled.matrix.legal_rows(expected)
    assert NativeDecoder(EXTENSION, compiled.table).check(found).tolist() == legal.tolist()
    np.testing.assert_array_equal(found[legal], expected[legal])
    assert np.signbit(found[legal]).tolist() == np.signbit(expected[legal]).tolist()


def columns(rows: Matrix, ids: list[str]) -> ColumnBatch:
    """Return rows of columns, with ids in one text."""
    sent = zip(as_values(rows), ids, strict=True)
    written = [value.replace(b'"p-%d"' % row, msgspec.json.encode(each)) for row, (value, each) in enumerate(sent)]
    raw = [each.encode() for each in ids]
    ends = np.cumsum([len(each) for each in raw])
    column = TextColumn(b"".join(raw), ends - [len(each) for each in raw], ends)
    return ColumnBatch(column, rows.copy(), np.zeros(len(rows), dtype=np.bool_), written.__getitem__)


def test_columns_have_the_same_scores(cores: Cores) -> None:
    """With and without rows that are rejected between them, and with ids of all kinds."""
    rows = np.concatenate([features(read_snapshot()), every_missing_pattern()])
    ids = [f'é"\\\n\x01{"€😀"[row % 2]}{row}' if row % 3 else f"p-{row}" for row in range(len(rows))]
    assert assert_same(cores, columns(rows, ids), columns(rows, ids)).scored == len(rows)
    rows[::7, 0] = -5.0
    rows[3, 2] = np.inf
    found = assert_same(cores, columns(rows, ids), columns(rows, ids))
    assert found.rejected.keys() == {3, *range(0, len(rows), 7)}


@pytest.mark.parametrize("details", [Details(input_digest=True), Details(reasons=0, interval=False, label_set=False)])
def test_details_of_lines_are_written_alike(linear_artifact: Artifact, details: Details) -> None:
    """What a score contains can be chosen, and the digest is that of the line."""
    cores = Scorer(linear_artifact, details, native="off"), Scorer(linear_artifact, details, native="required")
    check_block(cores, b"\n".join([*as_values(every_missing_pattern()), *EXAMPLES]))


def test_files_are_scored_alike(linear: Cores, tmp_path: Path) -> None:
    """CSV, Parquet and NDJSON, with a rejected row in each batch, by one and by two processes."""
    rows = [{**COMPLETE, "patient_id": f"p-{row}", "thal": 6 if row % 5000 else 1} for row in range(20_000)]
    table = pa.table({name: pa.array([row[name] for row in rows]) for name in NAMES})
    sources = [tmp_path / f"in.{suffix}" for suffix in ("csv", "parquet", "ndjson")]
    pyarrow.csv.write_csv(table, sources[0])
    pyarrow.parquet.write_table(table, sources[1])
    sources[2].write_bytes(msgspec.json.Encoder().encode_lines(rows))
    expected = None
    for source in sources:
        for scorer, processes in ((linear[0], 1), (linear[1], 1), (linear[1], 2)):
            output, errors = tmp_path / "out.ndjson", tmp_path / "errors.ndjson"
            request = Request(source, output, errors, force=True, processes=processes)
            assert score_file(request, scorer, unseen).rejected == 4
            found = output.read_bytes(), errors.read_bytes()
            expected = expected or found
            assert found == expected
