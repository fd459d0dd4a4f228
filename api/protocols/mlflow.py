"""MLflow's scoring protocol (`/ping`, `/invocations`), which SageMaker's clients speak as well: rows of a data frame.

Each row has the fields, by name; null means "not measured". A column `coding`, or `coding` in `params`, names the
coding of the rows; `patient_id` and other columns are ignored. The response is that of the model under `mlflow.pyfunc`:
`risk`, and `low` and `high` of its 90% interval (null if it has none).
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

from api.batch_scoring import CSV_DELIMITERS, JSON_DELIMITERS
from api.protocols.inference import (
    InvalidRowsError,
    RowScorer,
    check_coding,
    reject_duplicate_keys,
    reject_duplicate_names,
)
from runtime.health import Health
from schemas.codec import EncodableScore
from schemas.tables.feature_table import CODING, PATIENT_ID, Feature, FeatureTable

_CSV: Final = "text/csv"
_JSON: Final = "application/json"


class DataframeSplit(msgspec.Struct):
    """A data frame by columns and rows."""

    columns: list[str]
    data: list[list[Any]]


class InvocationParams(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of all rows."""

    coding: str | None = None


class InvocationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request of MLflow's clients, with one of the four kinds of rows."""

    params: InvocationParams | None = None
    signature_name: str | None = None

    dataframe_split: DataframeSplit | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[dict[str, Any]] | None = None
    inputs: list[dict[str, Any]] | dict[str, list[Any]] | None = None


class MlflowRoutes:
    """Handles requests of MLflow's clients."""

    def __init__(self, rows: RowScorer, health: Health) -> None:
        self._rows = rows
        self._health = health

    def routes(self) -> list[web.RouteDef]:
        """Return the protocol's routes."""
        return [web.get("/ping", self.ping), web.post("/invocations", self.invoke)]

    async def ping(self, _request: web.Request) -> web.Response:
        """Return whether the gateway is live and ready."""
        status, _ = self._health.report("live", "ready")
        return web.Response(status=status, text="\n")

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        """Score the rows of a data frame."""
        kind = request.content_type
        try:
            delimiters = CSV_DELIMITERS if kind == _CSV else JSON_DELIMITERS
            body = await self._rows.body(request, delimiters)
            async with self._rows.exclusive(body):
                if kind == _JSON:
                    await self._rows.run(reject_duplicate_keys, body.content)
                records = await self._rows.run(_records, kind, body.content, self._rows.table)
                results = await self._rows.score(request, records, body.charged)
                found = await self._rows.map_scores(results.scores, _prediction)
        except InvalidRowsError as error:
            document = {"error_code": "BAD_REQUEST", "message": str(error)}
            return web.Response(body=msgspec.json.encode(document), status=HTTPStatus.BAD_REQUEST, content_type=_JSON)
        return await self._rows.send(request, [msgspec.json.encode({"predictions": found})], _JSON)


def _records(content_type: str, body: bytes, table: FeatureTable) -> Iterator[dict[str, Any]]:
    """Return an iterator of the rows as patient records."""
    if content_type == _CSV:
        return (_record(row, index, None, _parse_cell, table) for index, row in enumerate(_rows_of_csv(body, table)))
    rows, coding = _rows_of_json(content_type, body, table)
    return (_record(row, index, coding, _unchanged, table) for index, row in enumerate(rows))


def _rows_of_json(content_type: str, body: bytes, table: FeatureTable) -> tuple[Sequence[Mapping[str, Any]], object]:
    """Return the rows, and the coding of all of them."""
    if content_type != _JSON:
        raise InvalidRowsError(f"unsupported media type; send {_JSON} or {_CSV}")
    try:
        sent = msgspec.json.decode(body, type=InvocationRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRowsError(
            "invalid request: send dataframe_split, dataframe_records, instances or inputs with named columns, and "
            "optionally params with a coding"
        ) from None
    return _request_rows(sent, table), check_coding(None if sent.params is None else sent.params.coding)


def _request_rows(sent: InvocationRequest, table: FeatureTable) -> Sequence[Mapping[str, Any]]:
    given = [each for each in (sent.dataframe_split, sent.dataframe_records, sent.instances, sent.inputs) if each]
    if len(given) != 1:
        raise InvalidRowsError(
            "send exactly one of dataframe_split, dataframe_records, instances and inputs, with at least one row"
        )
    match given[0]:
        case DataframeSplit(columns, data):
            return _rows_of_columns(columns, data, table)
        case dict() as columns_by_name:
            lengths = {len(column) for column in columns_by_name.values()}
            if len(lengths) != 1:
                raise InvalidRowsError("the columns have different lengths")
            return _rows_of_columns(list(columns_by_name), list(zip(*columns_by_name.values(), strict=True)), table)
        case records:
            return records


def _rows_of_columns(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], table: FeatureTable
) -> list[dict[str, Any]]:
    reject_duplicate_names(columns, "columns", table)
    return [_row(columns, row, index) for index, row in enumerate(rows)]


def _row(columns: Sequence[str], values: Sequence[Any], index: int) -> dict[str, Any]:
    if len(values) != len(columns):
        raise InvalidRowsError(f"row {index}: the number of values differs from the number of columns")
    return dict(zip(columns, values, strict=True))


def _rows_of_csv(body: bytes, table: FeatureTable) -> Iterator[dict[str, str]]:
    """Yield rows as dicts by the names of the header."""
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(body), "utf-8", newline=""), strict=True)
    rows = 0
    try:
        columns = next(filter(None, lines), [])
        reject_duplicate_names(columns, "columns", table)
        for line in filter(None, lines):
            yield _row(columns, line, rows)
            rows += 1
    except (UnicodeDecodeError, csv.Error):
        raise InvalidRowsError("the body is not CSV in UTF-8") from None
    if not rows:
        raise InvalidRowsError("send a header line with column names, and at least one row")


def _parse_cell(cell: str, feature: Feature) -> float | str | None:
    """Parse a cell; anything but a finite number stays text, to be reported. JSON would turn infinity into null."""
    if not cell.strip():
        return None
    if feature.labels:
        return cell
    try:
        number = float(cell)
    except ValueError:
        return cell
    return cell if math.isinf(number) or "_" in cell else number


def _unchanged(value: Any, _feature: Feature) -> Any:
    return value


def _record(
    row: Mapping[str, Any], index: int, coding: object, read: Callable[[Any, Feature], Any], table: FeatureTable
) -> dict[str, Any]:
    """Return a row as a patient record without its absent columns. Its own coding takes precedence."""
    values = {each.name: read(row[each.name], each) for each in table.features if each.name in row}
    own = row.get(CODING)
    named = coding if own is None or (isinstance(own, str) and not own.strip()) else own
    return {PATIENT_ID: str(index), **values, **({} if named is None else {CODING: named})}


def _prediction(score: EncodableScore) -> dict[str, float | None]:
    low, high = score.interval or (None, None)
    return {"risk": score.risk, "low": low, "high": high}
