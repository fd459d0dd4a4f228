"""MLflow's scoring protocol (`/ping`, `/invocations`), which SageMaker's clients speak as well: rows of a data frame.

Each row has the 13 fields, by name; null means "not measured". A column `coding`, or `coding` in `params`, names the
coding that rows are in; `patient_id` and other columns are not read. The answer
is that of the model under `mlflow.pyfunc`: `risk`, and `low` and `high` of its 90% interval (null where it has none).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from api.rows import Rows, RowsError, written
from runtime.health import Health
from schemas.features import FEATURE_NAMES
from schemas.records import Score

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

    async def invoke(self, request: web.Request) -> web.Response:
        """Score the rows of a data frame."""
        body = await self._rows.body(request)
        try:
            rows, coding = _rows(request.content_type, body)
            records = [written(_record(row, index, coding)) for index, row in enumerate(rows)]
            found = self._rows.scored(request, records)
        except RowsError as error:
            document = {"error_code": "BAD_REQUEST", "message": str(error)}
            return web.Response(body=msgspec.json.encode(document), status=HTTPStatus.BAD_REQUEST, content_type=_JSON)
        answer = {"predictions": [_prediction(score) for _, score in found]}
        return web.Response(body=msgspec.json.encode(answer), content_type=_JSON)


def _rows(content_type: str, body: bytes) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return the rows, and the coding that is named for all of them."""
    if content_type == _CSV:
        return _of_csv(body), None
    if content_type != _JSON:
        raise RowsError(f"send {_JSON} or {_CSV}")
    try:
        sent = msgspec.json.decode(body, type=Invocation)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RowsError(
            "the body is not dataframe_split, dataframe_records, instances or inputs, with named columns, and perhaps "
            "params with a coding"
        ) from None
    return _of(sent), None if sent.params is None else sent.params.coding


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
    try:
        return [dict(zip(columns, row, strict=True)) for row in rows]
    except ValueError:
        raise RowsError("a row has not as many values as there are columns") from None


def _of_csv(body: bytes) -> list[dict[str, Any]]:
    """Read rows with a header; an empty cell is missing, and what is no number is told as such."""
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8")), strict=True)
        table = [line for line in reader if line]
    except (UnicodeDecodeError, csv.Error):
        raise RowsError("the body is not CSV in UTF-8") from None
    if len(table) <= 1:
        raise RowsError("send a line of column names, and some rows")
    return _zipped(table[0], ([_number(cell) for cell in line] for line in table[1:]))


def _number(cell: str) -> float | str | None:
    """Read a cell; what is no finite number stays text, to be told as such. JSON would make null of infinity."""
    if not cell.strip():
        return None
    try:
        number = float(cell)
    except ValueError:
        return cell
    return cell if math.isinf(number) or "_" in cell else number


def _record(row: Mapping[str, Any], index: int, coding: str | None) -> dict[str, Any]:
    """Return a row as a patient record; a column that it lacks is told as missing. Its own coding comes first."""
    record = {"patient_id": str(index), **{name: row[name] for name in FEATURE_NAMES if name in row}}
    named = coding if row.get("coding") is None else row["coding"]
    return record if named is None else {**record, "coding": named}


def _prediction(score: Score) -> dict[str, float | None]:
    low, high = score.interval or (None, None)
    return {"risk": score.risk, "low": low, "high": high}
