"""The two kinds of batch: JSON records, and columns of numbers. Decoding rejects invalid records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec
import numpy as np

from schemas.cloudevents import Content
from schemas.record_format import RecordFormat, coding_of
from schemas.records import PatientRecord, Source
from schemas.tables.feature_table import PATIENT_ID
from scoring.compiled_table import CompiledTable
from scoring.features import Mask, Matrix
from scoring.lines import Lines
from scoring.pipeline import DecodedBatch, Issues


class JsonBatch:
    """JSON records: request bodies, lines of a file, or values of messages.

    `coding` is the coding of the source, for records without their own. `content` unwraps the envelope of the record at
    a position: it is called once, and only for a value that is not a plain record.
    """

    def __init__(
        self,
        values: Sequence[bytes | None],
        coding: str | None = None,
        sources: Sequence[Source | None] | None = None,
        keys: Sequence[bytes | None] = (),
        content: Callable[[int], Content] | None = None,
    ) -> None:
        self._values = values
        self._content = content or values.__getitem__
        self._coding = coding
        self._sources = sources
        self._keys = keys

    def decode(self, compiled: CompiledTable) -> DecodedBatch:
        """Decode each record and convert it to the table's coding; reject it if it is invalid."""
        if compiled.native is None or self._coding is not None:
            return self._decode(compiled)
        if isinstance(self._values, Lines):
            matrix, column, lines = compiled.native.decode_lines(self._values.block)
            rest = JsonBatch([*lines.values()])
            return self._completed(compiled, matrix, column, [*lines], rest)
        matrix, ids, others = compiled.native.decode(self._values)
        rest = JsonBatch([self._values[at] for at in others], content=lambda at: self._content(others[at]))
        return self._completed(compiled, matrix, cast("list[str]", ids), others, rest)

    def _completed(
        self, compiled: CompiledTable, matrix: Matrix, ids: Sequence[str], others: Sequence[int], rest: JsonBatch
    ) -> DecodedBatch:
        """Return the records that were read, and those of `rest`, whose positions in the batch are `others`."""
        declared, rejected, mask = frozenset[int](), dict[int, Issues](), np.ones(len(ids), dtype=np.bool_)
        if others:
            found = rest._decode(compiled)
            declared = frozenset(others[at] for at in found.declared)
            rejected = {others[at]: issues for at, issues in found.rejected.items()}
            mask[list(rejected)] = False
            if found.positions:
                ids = known = list(ids)
                for at, patient_id, row in zip(found.positions, found.patient_ids, found.matrix, strict=True):
                    known[others[at]], matrix[others[at]] = patient_id, row
        decoded = DecodedBatch(range(len(ids)), ids, matrix, {}, declared, self._values, self._sources, self._keys)
        return decoded.where(mask, rejected) if rejected else decoded

    def _decode(self, compiled: CompiledTable) -> DecodedBatch:
        """Decode each record in Python."""
        rejected: dict[int, Issues] = {}
        positions, records, slow = self._readable(compiled.records, rejected)
        rules = compiled.matrix
        matrix = rules.as_matrix(records)
        rules.blank_missing(matrix)
        codings = {} if self._coding is None else dict.fromkeys(range(len(records)), self._coding)
        codings |= {row: coding for row in slow if isinstance(coding := coding_of(records[row]), str)}
        rules.convert_rows(matrix, codings)
        declared = frozenset(positions[row] for row in codings)
        ids = [record.patient_id for record in records]
        decoded = DecodedBatch(positions, ids, matrix, rejected, declared, self._values, self._sources, self._keys)
        legal = rules.legal_rows(matrix)
        return decoded if legal.all() else self._legal(decoded, legal, slow, compiled.records)

    def _readable(
        self, reader: RecordFormat, rejected: dict[int, Issues]
    ) -> tuple[list[int], list[PatientRecord], dict[int, Content]]:
        """Return positions and records, and the content of those decoded by the slow path, by row."""
        decode = reader.decode
        positions: list[int] = []
        records: list[PatientRecord] = []
        slow: dict[int, Content] = {}
        for position, value in enumerate(self._values):
            record = decode(value)
            if record is None:
                content = self._content(position)
                found = self._decode_slowly(content, value, reader)
                if isinstance(found, tuple):
                    rejected[position] = found
                    continue
                record, slow[len(records)] = found, content
            positions.append(position)
            records.append(record)
        return positions, records, slow

    def _decode_slowly(self, content: Content, value: bytes | None, reader: RecordFormat) -> PatientRecord | Issues:
        """Return the record, or all of its issues."""
        if isinstance(content, tuple):
            return content
        record = None if content is value else reader.decode(content)
        return record or reader.decode_coded(content) or self._examine(content, reader)

    def _legal(
        self, decoded: DecodedBatch, legal: Mask, slow: Mapping[int, Content], reader: RecordFormat
    ) -> DecodedBatch:
        """Reject records with invalid numbers; the slow path finds the issues of each."""
        rejected = dict(decoded.rejected)
        for row in np.flatnonzero(~legal).tolist():
            position = decoded.positions[row]
            issues = self._examine(slow.get(row, self._values[position]), reader)
            if isinstance(issues, PatientRecord):
                raise AssertionError("the vectorized check rejected a record that the slow path accepts")  # noqa: TRY004  # a bug here, not a type
            rejected[position] = issues
        return decoded.where(legal, dict(sorted(rejected.items())))

    def _examine(self, content: Content, reader: RecordFormat) -> PatientRecord | Issues:
        return content if isinstance(content, tuple) else reader.validate(content, self._coding)


class ColumnBatch(msgspec.Struct, frozen=True):
    """Columns: ids, and numbers (n, fields) as sent with NaN for null, which decoding modifies in place.

    `doubtful` (n,) marks rows with anything other than an id and numbers. `write` returns the JSON record of a row: it
    is called for rows that are doubtful or invalid, so that they are validated like any other record. `coding` is the
    coding of all rows.
    """

    patient_ids: Sequence[str]
    matrix: Matrix
    doubtful: Mask
    write: Callable[[int], bytes]
    coding: str | None = None

    def decode(self, compiled: CompiledTable) -> DecodedBatch:
        """Return the same as `JsonBatch` for the equivalent records, at less than half the cost."""
        positions, declared = range(len(self.matrix)), frozenset[int]()
        if self.coding is not None:
            declared = frozenset(positions)
        legal = self._check(compiled) & ~self.doubtful
        decoded = DecodedBatch(positions, self.patient_ids, self.matrix, {}, declared)
        if legal.all():
            return decoded
        rejected: dict[int, Issues] = {}
        for row in np.flatnonzero(~legal).tolist():
            issues = compiled.records.validate(self.write(row), self.coding)
            if isinstance(issues, PatientRecord):
                return self._written_out(compiled)
            rejected[row] = issues
        return decoded.where(legal, rejected)

    def _check(self, compiled: CompiledTable) -> Mask:
        """Convert the matrix, in place, to the table's coding, NaN where not measured; returns which rows are valid."""
        rules = compiled.matrix
        if self.coding is None and compiled.native is not None:
            return compiled.native.check(self.matrix)
        rules.blank_missing(self.matrix)
        if self.coding is not None:
            rules.convert(self.matrix, compiled.table.coding_by_name[self.coding])
        return rules.legal_rows(self.matrix)

    def _written_out(self, compiled: CompiledTable) -> DecodedBatch:
        """Decode the equivalent JSON records. They have no digest: this JSON is not the original input."""
        written = [self.write(row) for row in range(len(self.matrix))]
        return msgspec.structs.replace(JsonBatch(written, self.coding).decode(compiled), values=None)


def reference_batches(compiled: CompiledTable) -> tuple[JsonBatch, JsonBatch, ColumnBatch]:
    """Return the reference cases as messages of a topic, as the lines of a file, and as columns."""
    cases = compiled.reference_cases
    ids = [f"p-{row}" for row in range(len(cases))]
    fields = map(compiled.table.fields_of, cases.tolist())
    values = [msgspec.json.encode({PATIENT_ID: each, **record}) for each, record in zip(ids, fields, strict=True)]
    messages = JsonBatch(values, sources=[Source("patients", 0, row) for row in range(len(values))])
    columns = ColumnBatch(ids, cases.copy(), np.zeros(len(cases), dtype=np.bool_), values.__getitem__)
    return messages, JsonBatch(Lines(b"\n".join(values))), columns
