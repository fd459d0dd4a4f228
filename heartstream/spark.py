"""Scores tables on Apache Spark that are too large for one machine. Needs the extra `spark`.

```python
from pyspark.sql import SparkSession
from heartstream.spark import score

spark = SparkSession.builder.getOrCreate()
scored = score(spark.read.parquet("patients"), "models/current")
scored.where("errors IS NULL").select("score").write.text("scores")
```

Executors need this package, in the version of the driver; the model is sent with the job.
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
from heartstream.files.parquet_records import is_text, name_problems, plain, wrong_type
from schemas.codec import encode_scores
from schemas.errors import ArtifactError, DataError
from schemas.records import Details
from schemas.tables.feature_table import PATIENT_ID, FeatureTable
from scoring.evidence import SourceWindow
from scoring.model_artifact import MANIFEST_FILE, load
from scoring.pipeline import Results
from scoring.scorer import Scorer
from scoring.signature import SIGNATURE_FILE
from scoring.sources import reject_foreign_source

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
    """A model directory to send to executors, which verify it as usual.

    `files` are the manifest and the files that it lists, by name; `digest` is that of the verified model.
    """

    digest: str
    files: tuple[tuple[str, bytes], ...]
    name: str | None
    public_key: bytes | None
    details: Details

    @classmethod
    def of(cls, model: Path, name: str | None, public_key: bytes | None, details: Details) -> Self:
        """Read the files of a model directory, and verify them. Raises ArtifactError."""
        artifact = load(model, name, public_key)
        names = [MANIFEST_FILE, *artifact.manifest.files]
        if public_key is not None:
            names.append(SIGNATURE_FILE)
        files = tuple((each, (model / each).read_bytes()) for each in names)
        bundle = cls(artifact.model.digest, files, name, public_key, details)
        bundle.scorer()
        return bundle

    def scorer(self) -> Scorer:
        """Load the model from a temporary folder. Blocks for some milliseconds. Raises ArtifactError."""
        with TemporaryDirectory(prefix="heartstream-") as folder:
            for name, content in self.files:
                (Path(folder) / name).write_bytes(content)
            artifact = load(Path(folder), self.name, self.public_key)
        if artifact.model.digest != self.digest:
            raise ArtifactError(f"the model changed: {artifact.model.digest}, but the driver verified {self.digest}")
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
    """Score a table of patients: `patient_id`, a string, and the fields of the model; null means not measured.

    Returns one row per row, in the order of the partition: `score` is the JSON object, with the same bytes that
    `heartstream score` writes, `risk` and `label` are its members; `errors`, null if there is a score, is a JSON array
    of the row's errors, as in a dead letter, without values.

    `coding` names the coding of the table, if it is not that of the model's feature table. If rows of an Arrow batch,
    or earlier ones of the partition, show another coding than the one named, the whole batch is rejected.

    `model` is a model directory on the driver, `name` one of its models; with `public_key` (PEM) it must be signed.
    Raises ArtifactError and DataError before anything is computed.
    """
    bundle = ModelBundle.of(Path(model).resolve(), name, public_key, details)
    table = _loaded(bundle).compiled.table
    if problems := problems_of(frame.schema, table):
        raise DataError(f"the table is refused: {'; '.join(problems)}")
    if coding is not None and coding not in table.coding_by_name:
        raise DataError(f"the coding {table.codings_text}")
    return frame.select(PATIENT_ID, *table.names).mapInArrow(partial(scored, bundle, coding=coding), SCHEMA)


def problems_of(schema: StructType, table: FeatureTable) -> list[str]:
    """Return the problems of a table's columns, by Spark's types: not all of them have an Arrow type."""
    return name_problems(schema.names, table) + [
        wrong_type(field.name, table)
        for field in schema
        if field.name in {PATIENT_ID, *table.names}
        and field.dataType.typeName() not in (_TEXTS if is_text(field.name, table) else _NUMBERS)
    ]


def scored(
    bundle: ModelBundle, batches: Iterable[pa.RecordBatch], coding: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Score Arrow batches with the id and the fields; yields batches of `SCHEMA`, row for row."""
    scorer, seen = _loaded(bundle), SourceWindow()
    compiled = scorer.compiled
    for batch in batches:
        # Spark's batches are smaller, unless it is configured to use whole partitions.
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = plain(batch.slice(start, BATCH_ROWS))
            decoded = columns_of(part, compiled.table, coding).decode(compiled)
            results = reject_foreign_source(scorer.score(decoded), seen, compiled.table)
            yield _table(part.column(0), results)


@lru_cache(maxsize=1)
def _loaded(bundle: ModelBundle) -> Scorer:
    """Load a model once per process, not per partition."""
    return bundle.scorer()


def _table(patient_ids: pa.Array, results: Results) -> pa.RecordBatch:
    """Return scores and errors in the order of the rows."""
    errors: list[bytes | None] = [None] * len(patient_ids)
    for place, issues in results.rejected.items():
        errors[place] = msgspec.json.encode(issues)
    absent = np.array([error is not None for error in errors], dtype=bool)
    places = pa.array(np.cumsum(~absent) - 1, mask=absent)
    return pa.RecordBatch.from_arrays(
        [
            patient_ids,
            pa.array(results.risks).take(places),
            pa.array(results.labels).cast(pa.int32()).take(places),
            pa.array(encode_scores(results.scores), pa.binary()).cast(pa.string()).take(places),
            pa.array(errors, pa.binary()).cast(pa.string()),
        ],
        schema=_ARROW,
    )
