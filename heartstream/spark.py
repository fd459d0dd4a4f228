"""The file door on Apache Spark: the same core, for tables that one machine is too small for. Needs the extra `spark`.

```python
from pyspark.sql import SparkSession
from heartstream.spark import score

spark = SparkSession.builder.getOrCreate()
scored = score(spark.read.parquet("patients"), "models/current")
scored.where("errors IS NULL").select("score").write.text("scores")
```

Executors need this package, at the driver's version; the model travels with the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
import pyarrow as pa

from heartstream.files.batching import BATCH_ROWS
from heartstream.files.columns import columns_of
from heartstream.files.parquet_records import name_problems, plain, wrong_type
from schemas.codings import CODINGS, unknown_coding_text
from schemas.errors import ArtifactError, DataError
from schemas.headers import COLUMN_NAMES
from schemas.records import Details
from scoring.artifact import MANIFEST_FILE, load
from scoring.evidence import SourceWindow
from scoring.pipeline import Lines, process_columns
from scoring.scorer import Scorer
from scoring.signature import SIGNATURE_FILE
from scoring.sources import all_refused

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

__all__ = ["score"]

SCHEMA: Final = "patient_id string, risk double, label int, score string, errors string"
_ARROW: Final = pa.schema(
    [
        pa.field("patient_id", pa.string()),
        pa.field("risk", pa.float64()),
        pa.field("label", pa.int32()),
        pa.field("score", pa.string()),
        pa.field("errors", pa.string()),
    ]
)
_TEXTS: Final = frozenset({"string", "void"})
_NUMBERS: Final = frozenset({"byte", "short", "integer", "long", "float", "double", "void"})


class ModelBundle(msgspec.Struct, frozen=True):
    """A model directory on its way to executors, which verify it as any reader does.

    `files` are what its manifest lists, by name, with the manifest; `digest` is what the driver has proved.
    """

    digest: str
    files: tuple[tuple[str, bytes], ...]
    name: str | None
    public_key: bytes | None
    details: Details

    @classmethod
    def of(cls, model: Path, name: str | None, public_key: bytes | None, details: Details) -> Self:
        """Take a model directory's files along, and prove what was taken. Raises ArtifactError."""
        artifact = load(model, name, public_key)
        names = [MANIFEST_FILE, *artifact.manifest.files]
        if public_key is not None:
            names.append(SIGNATURE_FILE)
        files = tuple((each, (model / each).read_bytes()) for each in names)
        shipment = cls(artifact.model.digest, files, name, public_key, details)
        shipment.scorer()
        return shipment

    def scorer(self) -> Scorer:
        """Load it from a folder of this process's own. Blocks for some milliseconds. Raises ArtifactError."""
        with TemporaryDirectory(prefix="heartstream-") as folder:
            for name, content in self.files:
                (Path(folder) / name).write_bytes(content)
            artifact = load(Path(folder), self.name, self.public_key)
        if artifact.model.digest != self.digest:
            raise ArtifactError(
                f"model {artifact.model.digest} came, but {self.digest} was proved: it changed meanwhile"
            )
        return Scorer(artifact, self.details)


def score(
    frame: DataFrame,
    model: Path | str,
    *,
    name: str | None = None,
    public_key: bytes | None = None,
    details: Details = Details(),  # noqa: B008  # it is frozen
    coding: str | None = None,
) -> DataFrame:
    """Score a table of patients: `patient_id`, a string, and the 13 UCI names, numbers, where null is not measured.

    Returns a row for each row, in the order of its partition: `score` is the JSON object, the same bytes that
    `heartstream score` writes for the row, `risk` and `label` are those in it; `errors`, null where there is a score,
    is a JSON array of what is wrong with the row, as in a dead letter, without any value of it.

    `coding` names the coding of the table, if it is not UCI's. Where rows of an Arrow batch, or those before it in the
    partition, show another coding than the one that is named, none of the batch has a score.

    `model` is a model directory on the driver, `name` one of its models; with `public_key` (PEM) it must be signed.
    Raises ArtifactError and DataError before anything is computed.
    """
    if problems := problems_of(frame.schema):
        raise DataError(f"the table is refused: {'; '.join(problems)}")
    if coding is not None and coding not in CODINGS:
        raise DataError(f"the coding {unknown_coding_text()}")
    shipment = ModelBundle.of(Path(model).resolve(), name, public_key, details)
    return frame.select(*COLUMN_NAMES).mapInArrow(partial(scored, shipment, coding=coding), SCHEMA)


def problems_of(schema: StructType) -> list[str]:
    """Tell all that is wrong with a table's columns, by Spark's types: not all of them have one of Arrow."""
    return name_problems(schema.names) + [
        wrong_type(field.name)
        for field in schema
        if field.name in COLUMN_NAMES
        and field.dataType.typeName() not in (_TEXTS if field.name == "patient_id" else _NUMBERS)
    ]


def scored(
    shipment: ModelBundle, batches: Iterable[pa.RecordBatch], coding: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Score Arrow batches whose columns are those of `COLUMN_NAMES`; yields batches of `SCHEMA`, row for row."""
    scorer, seen = _loaded(shipment), SourceWindow()
    for batch in batches:
        # Spark's batches are smaller, unless it was told to make them of whole partitions.
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = plain(batch.slice(start, BATCH_ROWS))
            lines = process_columns(columns_of(part, coding), scorer)
            if seen.note(lines.evidence):
                lines = all_refused(lines)
            yield _table(part.column(0), lines)


@lru_cache(maxsize=1)
def _loaded(shipment: ModelBundle) -> Scorer:
    """Load a model once a process, however many partitions that scores."""
    return shipment.scorer()


def _table(patient_ids: pa.Array, lines: Lines) -> pa.RecordBatch:
    """Put scores and rejected rows back into the order of their rows."""
    errors: list[bytes | None] = [None] * len(patient_ids)
    for place, rejected in lines.rejected:
        errors[place] = msgspec.json.encode(rejected.faults)
    absent = np.array([error is not None for error in errors], dtype=bool)
    places = pa.array(np.cumsum(~absent) - 1, mask=absent)
    return pa.RecordBatch.from_arrays(
        [
            patient_ids,
            pa.array(lines.risks).take(places),
            pa.array(lines.labels).cast(pa.int32()).take(places),
            pa.array(lines.scores.splitlines(), pa.binary()).cast(pa.string()).take(places),
            pa.array(errors, pa.binary()).cast(pa.string()),
        ],
        schema=_ARROW,
    )
