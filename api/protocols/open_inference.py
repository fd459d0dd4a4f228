"""The Open Inference Protocol v2 over HTTP, for clients of KServe, MLServer and Triton: records as tensors.

A request has either one tensor `record` (BYTES: patient records as JSON), or one tensor for each field, and optionally
`patient_id` and `coding` (BYTES), one element per record. Fields are numbers, or BYTES if their codes are texts; null,
an empty text or a number that the feature table has for it means "not measured". The request's parameter `coding` names
the coding of records without such an element. The response has `risk` (FP64), `label` (INT64) and `score` (BYTES: the
score object as JSON). An invalid record rejects the request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from api.problem_details import ProblemError
from api.protocols.inference import (
    InvalidRowsError,
    RowScorer,
    check_coding,
    reject_duplicate_keys,
    reject_duplicate_names,
)
from runtime.health import Health
from schemas.codec import encode_score
from schemas.tables.feature_table import FeatureTable
from scoring.pipeline import Results

_BYTES: Final = "BYTES"
_INTEGERS: Final = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
_FLOATS: Final = {"FP16": 65_504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
"""The largest number of each type."""
_JSON_TYPES: Final = {
    _BYTES: frozenset({str}),
    "FP64": frozenset({float, int, type(None)}),
    "INT64": frozenset({int, type(None)}),
}
"""Types whose elements need no check one by one; what is too large for INT64 is too large for every field."""
_ID: Final = "patient_id"
_RECORD: Final = "record"
_CODING: Final = "coding"
_TEXTS: Final = frozenset({_ID, _RECORD, _CODING})
_OUTPUTS: Final = {"risk": "FP64", "label": "INT64", "score": _BYTES}
_MAX_DEPTH: Final = 3
_MEDIA_TYPES: Final = ("application/json", "application/octet-stream")
"""The second one comes with binary tensors, which are refused with an error of the protocol."""
_BINARY: Final = "Inference-Header-Content-Length"


class Tensor(msgspec.Struct):
    """An input tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct):
    """A requested output."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """An inference request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] = []


class OpenInferenceRoutes:
    """Handles the protocol's requests."""

    def __init__(self, rows: RowScorer, health: Health) -> None:
        self._rows = rows
        self._health = health

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield the protocol's routes."""
        yield web.get("/v2", self._server_metadata)
        yield web.get("/v2/health/live", self._health_handler("live", "live"))
        yield web.get("/v2/health/ready", self._health_handler("ready", "live", "ready"))
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            yield web.get(model, self._model_metadata)
            yield web.get(f"{model}/ready", self._model_ready)
            yield web.post(f"{model}/infer", self._infer)

    async def _server_metadata(self, _request: web.Request) -> web.Response:
        return _json_response({"name": "heartstream", "version": self._rows.model.version, "extensions": []})

    def _health_handler(self, member: str, *kinds: str) -> Any:
        async def respond(_request: web.Request) -> web.Response:
            status, _ = self._health.report(*kinds)
            return _json_response({member: status == HTTPStatus.OK}, status)

        return respond

    def _is_served(self, request: web.Request) -> bool:
        version = request.match_info.get("version", self._rows.model.version)
        return (request.match_info["model"], version) == (self._rows.model.name, self._rows.model.version)

    async def _model_metadata(self, request: web.Request) -> web.Response:
        if not self._is_served(request):
            return _not_found()
        return _json_response(
            {
                "name": self._rows.model.name,
                "versions": [self._rows.model.version],
                "platform": "heartstream",
                "inputs": [
                    *(
                        {"name": each.name, "datatype": _BYTES if each.labels else "FP64", "shape": [-1]}
                        for each in self._rows.table.features
                    ),
                    *({"name": name, "datatype": _BYTES, "shape": [-1]} for name in (_ID, _RECORD, _CODING)),
                ],
                "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in _OUTPUTS.items()],
            }
        )

    async def _model_ready(self, request: web.Request) -> web.Response:
        if not self._is_served(request):
            return _not_found()
        status, _ = self._health.report("live", "ready")
        return _json_response({"name": self._rows.model.name, "ready": status == HTTPStatus.OK}, status)

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        if not self._is_served(request):
            return _not_found()
        _check_media_type(request)
        try:
            body = await self._rows.body(request)
            async with self._rows.exclusive(body):
                if _BINARY not in request.headers:
                    await self._rows.run(reject_duplicate_keys, body.content)
                sent, rows, outputs = await self._rows.run(_parse_request, request, body.content, self._rows.table)
                results = await self._rows.score(request, rows, body.charged)
                found = [await self._output(name, results) for name in outputs]
        except InvalidRowsError as error:
            return _json_response({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        document: dict[str, Any] = {
            "model_name": self._rows.model.name,
            "model_version": self._rows.model.version,
            "outputs": found,
        }
        document |= {} if sent.id is None else {"id": sent.id}
        return await self._rows.send(request, [msgspec.json.encode(document)], "application/json")

    async def _output(self, name: str, results: Results) -> dict[str, Any]:
        match name:
            case "risk":
                data: list[Any] = results.risks.tolist()
            case "label":
                data = results.labels.astype(int).tolist()
            case _:
                data = await self._rows.map_scores(results.scores, lambda score: encode_score(score).decode())
        return {"name": name, "datatype": _OUTPUTS[name], "shape": [len(data)], "data": data}


def _json_response(document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


def _not_found() -> web.Response:
    return _json_response({"error": "unknown model or version"}, HTTPStatus.NOT_FOUND)


def _check_media_type(request: web.Request) -> None:
    """Refuse media types that a page of another site can send; the protocol's clients send JSON, or no type."""
    if "Content-Type" in request.headers and request.content_type not in _MEDIA_TYPES:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Unsupported media type; send {_MEDIA_TYPES[0]}.", ends_connection=True
        )


def _parse_request(
    request: web.Request, body: bytes, table: FeatureTable
) -> tuple[InferRequest, Iterator[dict[str, Any] | str], list[str]]:
    sent = _read(request, body)
    return sent, _rows(sent, table), _output_names(sent)


def _read(request: web.Request, body: bytes) -> InferRequest:
    if _BINARY in request.headers:
        raise InvalidRowsError("the binary tensor extension is not supported; send data as JSON (binary_data=False)")
    try:
        return msgspec.json.decode(body, type=InferRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRowsError("the body is not an inference request of the Open Inference Protocol v2") from None


def _rows(sent: InferRequest, table: FeatureTable) -> Iterator[dict[str, Any] | str]:
    """Return an iterator of records: their members, or their JSON."""
    names = [tensor.name for tensor in sent.inputs]
    reject_duplicate_names(names, "inputs", table)
    if unknown := set(names) - {*table.names, *_TEXTS}:
        raise InvalidRowsError(
            f"{len(unknown)} unknown input(s); known are {_RECORD}, {_ID}, {_CODING} and the {len(table.names)} fields"
        )
    labelled = {feature.name for feature in table.features if feature.labels}
    columns = {
        tensor.name: _label_column(tensor)
        if tensor.name in labelled
        else _column(tensor, is_text=tensor.name in _TEXTS)
        for tensor in sent.inputs
    }
    coding = check_coding(sent.parameters.get(_CODING))
    if len({len(column) for column in columns.values()}) > 1:
        raise InvalidRowsError("the inputs have different numbers of elements")
    if _RECORD in columns:
        if len(columns) > 1:
            raise InvalidRowsError(f"{_RECORD} contains whole records; send no other input with it")
        if coding is not None:
            raise InvalidRowsError(f"{_RECORD} contains whole records, which name their own {_CODING}")
        return iter(columns[_RECORD])
    if not columns:
        raise InvalidRowsError("there are no inputs")
    count = len(next(iter(columns.values())))
    columns.setdefault(_ID, [str(index) for index in range(count)])
    if coding is not None:
        columns.setdefault(_CODING, [coding] * count)
    return ({name: column[index] for name, column in columns.items()} for index in range(count))


def _label_column(tensor: Tensor) -> list[str | None]:
    """Return the elements of a field whose codes are texts; null and an empty text are null."""
    filled = msgspec.structs.replace(tensor, data=["" if each is None else each for each in _flatten(tensor.data)])
    return [each or None for each in _column(filled, is_text=True)]


def _column(tensor: Tensor, *, is_text: bool) -> list[Any]:
    """Return a tensor's elements, one per record."""
    if (tensor.datatype == _BYTES) != is_text or not (is_text or tensor.datatype in {*_INTEGERS, *_FLOATS}):
        raise InvalidRowsError(
            f"input {tensor.name} has the wrong datatype; use BYTES for text, a numeric type for fields of numbers"
        )
    flat = _flatten(tensor.data)
    rows = tensor.shape[0] if tensor.shape else 0
    is_nested = any(isinstance(each, list) for each in flat)
    if is_nested or len(flat) != rows or any(size != 1 for size in tensor.shape[1:]):
        raise InvalidRowsError(f"input {tensor.name}: the shape must be [records] or [records, 1], and match the data")
    allowed_types = _JSON_TYPES.get(tensor.datatype)
    if allowed_types is not None and allowed_types.issuperset(map(type, flat)):
        return flat
    wrong = next((index for index, each in enumerate(flat) if not _has_datatype(tensor.datatype, each)), None)
    if wrong is not None:
        raise InvalidRowsError(f"row {wrong}: wrong_type at /{tensor.name}: the element is not a {tensor.datatype}")
    return flat


def _has_datatype(datatype: str, element: Any) -> bool:
    """Return whether an element is a value of a datatype; null, "not measured", is valid for every numeric type."""
    if datatype == _BYTES:
        return isinstance(element, str)
    if element is None:
        return True
    if isinstance(element, bool) or not isinstance(element, int | float):
        return False
    if datatype in _FLOATS:
        return abs(element) <= _FLOATS[datatype]
    low, high = _INTEGERS[datatype]
    return low <= element <= high and element == int(element)


def _flatten(data: list[Any]) -> list[Any]:
    """Flatten data of the shape [records, 1, ...]; what is nested more deeply stays a list."""
    for _ in range(_MAX_DEPTH):
        if not any(isinstance(each, list) for each in data):
            break
        data = [inner for each in data for inner in (each if isinstance(each, list) else (each,))]
    return data


def _output_names(sent: InferRequest) -> list[str]:
    names = list(dict.fromkeys(wanted.name for wanted in sent.outputs)) or list(_OUTPUTS)
    if set(names) - _OUTPUTS.keys():
        raise InvalidRowsError(f"unknown output; known are {', '.join(_OUTPUTS)}")
    return names
