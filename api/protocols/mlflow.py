"""MLflow's scoring protocol (`/ping`, `/invocations`), which SageMaker's clients speak as well: rows of a data frame.

Each row has the 13 fields, by name; null means "not measured". A column `coding`, or `coding` in `params`, names the
coding that rows are in; `patient_id` and other columns are not read. The answer
is that of the model under `mlflow.pyfunc`: `risk`, and `low` and `high` of its 90% interval (null where it has none).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from api.batch_scoring import CSV_MARKS, JSON_MARKS
from api.protocols.inference import Rows, RowsError, coding_of_all, refuse_repeated_names, refuse_repeats
from runtime.health import Health
from schemas.codec import EncodableScore
from schemas.features import FEATURE_NAMES

_CSV: Final = "text/csv"
_JSON: Final = "application/json"


class Split(msgspec.Struct):
    """A data frame by columns and rows."""

    columns: list[str]
    data: list[list[Any]]


class Params(msgspec.Struct, forbid_unknown_fields=True):
    """What may be said of all rows."""

    coding: str | None = None


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """What MLflow's clients send: one of the four kinds of rows."""

    params: Params | None = None
    signature_name: str | None = None

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[dict[str, Any]] | None = None
    inputs: list[dict[str, Any]] | dict[str, list[Any]] | None = None


class Invocations:
    """Answers MLflow's clients."""

    def __init__(self, rows: Rows, health: Health) -> None:
        self._rows = rows
        self._health = health

    def routes(self) -> list[web.RouteDef]:
        """Return the protocol's routes."""
        return [web.get("/ping", self.ping), web.post("/invocations", self.invoke)]

    async def ping(self, _request: web.Request) -> web.Response:
        """Say whether requests can be sent."""
        status, _ = self._health.report("live", "ready")
        return web.Response(status=status, text="\n")

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        """Score the rows of a data frame."""
        kind = request.content_type
        try:
            marks = CSV_MARKS if kind == _CSV else JSON_MARKS
            body = await self._rows.body(request, marks)
            async with self._rows.working(body):
                if kind == _JSON:
                    await self._rows.parsed(refuse_repeats, body.content)
                records = await self._rows.parsed(_records, kind, body.content)
                results = await self._rows.scored(request, records, body.paid)
                found = await self._rows.each(results.scores, _prediction)
        except RowsError as error:
            document = {"error_code": "BAD_REQUEST", "message": str(error)}
            return web.Response(body=msgspec.json.encode(document), status=HTTPStatus.BAD_REQUEST, content_type=_JSON)
        return await self._rows.answer(request, [msgspec.json.encode({"predictions": found})], _JSON)


def _records(content_type: str, body: bytes) -> Iterator[dict[str, Any]]:
    """Return the rows as patient records, which are made as they are read."""
    if content_type == _CSV:
        return (_record(row, index, None, _number) for index, row in enumerate(_of_csv(body)))
    rows, coding = _of_json(content_type, body)
    return (_record(row, index, coding, _as_sent) for index, row in enumerate(rows))


def _of_json(content_type: str, body: bytes) -> tuple[Sequence[Mapping[str, Any]], object]:
    """Return the rows, and the coding that is named for all of them."""
    if content_type != _JSON:
        raise RowsError(f"send {_JSON} or {_CSV}")
    try:
        sent = msgspec.json.decode(body, type=Invocation)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RowsError(
            "the body is not dataframe_split, dataframe_records, instances or inputs, with named columns, and perhaps "
            "params with a coding"
        ) from None
    return _of(sent), coding_of_all(None if sent.params is None else sent.params.coding)


def _of(sent: Invocation) -> Sequence[Mapping[str, Any]]:
    given = [each for each in (sent.dataframe_split, sent.dataframe_records, sent.instances, sent.inputs) if each]
    if len(given) != 1:
        raise RowsError("send one of dataframe_split, dataframe_records, instances, inputs, with some rows")
    match given[0]:
        case Split(columns, data):
            return _zipped(columns, data)
        case dict() as columns_by_name:
            lengths = {len(column) for column in columns_by_name.values()}
            if len(lengths) != 1:
                raise RowsError("the columns have different lengths")
            return _zipped(list(columns_by_name), list(zip(*columns_by_name.values(), strict=True)))
        case records:
            return records


def _zipped(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    refuse_repeated_names(columns, "columns stand")
    return [_row(columns, row, index) for index, row in enumerate(rows)]


def _row(columns: Sequence[str], values: Sequence[Any], index: int) -> dict[str, Any]:
    if len(values) != len(columns):
        raise RowsError(f"row {index} does not have as many values as there are columns")
    return dict(zip(columns, values, strict=True))


def _of_csv(body: bytes) -> Iterator[dict[str, str]]:
    """Yield rows by the names of the header."""
    table = csv.reader(io.TextIOWrapper(io.BytesIO(body), "utf-8", newline=""), strict=True)
    rows = 0
    try:
        columns = next(filter(None, table), [])
        refuse_repeated_names(columns, "columns stand")
        for line in filter(None, table):
            yield _row(columns, line, rows)
            rows += 1
    except (UnicodeDecodeError, csv.Error):
        raise RowsError("the body is not CSV in UTF-8") from None
    if not rows:
        raise RowsError("send a line of column names, and some rows")


def _number(cell: str) -> float | str | None:
    """Read a cell; what is no finite number stays text, to be told as such. JSON would make null of infinity."""
    if not cell.strip():
        return None
    try:
        number = float(cell)
    except ValueError:
        return cell
    return cell if math.isinf(number) or "_" in cell else number


def _as_sent(value: Any) -> Any:
    return value


def _record(row: Mapping[str, Any], index: int, coding: object, read: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a row as a patient record; a column that it lacks is told as missing. Its own coding comes first."""
    record = {"patient_id": str(index), **{name: read(row[name]) for name in FEATURE_NAMES if name in row}}
    named = coding if (own := row.get("coding")) is None or read(own) is None else own
    return record if named is None else {**record, "coding": named}


def _prediction(score: EncodableScore) -> dict[str, float | None]:
    low, high = score.interval or (None, None)
    return {"risk": score.risk, "low": low, "high": high}
