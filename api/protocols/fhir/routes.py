"""The operation of the feature table, and `GET /fhir/metadata`: one Bundle in, one RiskAssessment out."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

import msgspec
from aiohttp import web

from api import request_body
from api.limits.memory_limit import MemoryLimit
from api.limits.rate_limit import RateLimit
from api.limits.time_slices import TimeSlicer
from api.problem_details import ProblemError
from api.protocols.fhir import operation_outcome
from api.protocols.fhir.bundle import parse_bundle
from api.protocols.fhir.lenient import LenientParser
from api.protocols.fhir.lenient_bundle import OpenBundle
from api.protocols.fhir.parse import BundleParser, ParsedBundle, RefusedBundle
from api.protocols.fhir.serialize import risk_assessment
from api.routes.predict import PredictionRoutes
from api.strict_json import without_bom
from runtime.settings import Fhir, Settings
from schemas.codec import decode_score
from schemas.fhir.mapping import FHIR_TYPE, STRICTNESS, FhirMapping
from schemas.fhir.responses import capability_statement, operation_definition
from scoring.model_manager import ModelManager

_TYPES: Final = (FHIR_TYPE, "application/json", "application/json+fhir")
"""The last is that of STU3's first servers."""
_STRICT_LIMIT_BYTES: Final = 262_144
"""The strict reading parses all of a Bundle at once; more would block the event loop."""
_HOST: Final = re.compile(r"[\w.\-]+(?::\d{1,5})?|\[[\da-fA-F:.]+\](?::\d{1,5})?", re.ASCII)
_VERSION: Final = re.compile(r"fhirVersion=\"?([0-9.]+)")
_VERSIONS: Final = {"4.0": "", "4.3": "", "3.0": "STU3", "5.0": "R5"}
"""The versions of FHIR whose elements are read here, and the names of those that are not R4."""


class FhirRoutes:
    """Handles FHIR requests."""

    def __init__(
        self,
        predictions: PredictionRoutes,
        manager: ModelManager,
        rate_limit: RateLimit,
        settings: Settings,
        slicer: TimeSlicer,
        memory_limit: MemoryLimit,
        now: Callable[[], dt.datetime],
    ) -> None:
        """`now` returns the time with its zone. Raises ValueError if the feature table has no FHIR operation."""
        mapping = FhirMapping.of(manager.compiled.table)
        if mapping is None:
            raise ValueError("the feature table has no FHIR operation")
        self._rate_limit = rate_limit
        self._slicer = slicer
        self._memory_limit = memory_limit
        self._predictions = predictions
        self._manager = manager
        self._settings = settings.gateway
        self._fhir = settings.fhir
        self._now = now
        self._mapping = mapping
        self._strict = BundleParser(mapping, manager.compiled.records)
        self._lenient = LenientParser(mapping, manager.compiled.records, settings.fhir.lookback_days)
        self._described = mapping.operation, version("heartstream"), now().date().isoformat()

    def routes(self) -> list[web.RouteDef]:
        """Return the protocol's routes."""
        return [
            web.post(self._mapping.path, self.assess),
            web.get("/fhir/metadata", self.metadata),
            web.get(self._mapping.definition_path, self.definition),
        ]

    async def metadata(self, request: web.Request) -> web.Response:
        """Return the CapabilityStatement, with URLs of the host that the caller uses."""
        return _resource(capability_statement(*self._described, _base_url(request)))

    async def definition(self, request: web.Request) -> web.Response:
        """Return the OperationDefinition."""
        return _resource(operation_definition(*self._described, _base_url(request)))

    async def assess(self, request: web.Request) -> web.Response:
        """Score the patient of a Bundle: 200 with a RiskAssessment, 400 or 422 with every error."""
        version_note = _check_type(request)
        lenient = _strictness(request, self._fhir) == "lenient"
        body = await self._body(request, lenient=lenient)
        now, began = self._now(), time.perf_counter()
        parse = self._parse_lenient if lenient else self._parse_strict
        parsed = await parse(without_bom(body), now.date())
        if isinstance(parsed, RefusedBundle):
            await self._predictions.reject(request, body, parsed.issues, time.perf_counter() - began)
            return operation_outcome.rejected(parsed.issues, (*version_note, *parsed.notes))
        outcome = await self._predictions.score_record(request, parsed.record)
        if isinstance(outcome, tuple):
            notes = (*version_note, *parsed.notes) if lenient else ()
            return operation_outcome.rejected(parsed.issues_of(outcome), notes)
        parsed = msgspec.structs.replace(parsed, notes=(*parsed.notes, *version_note))
        return _resource(risk_assessment(parsed, decode_score(outcome), self._manager.scorer, now, self._mapping))

    async def _body(self, request: web.Request, *, lenient: bool) -> bytes:
        """Return the body, for which memory was reserved, and which was charged."""
        limits = self._settings
        body = await request_body.read_body(
            request,
            self._fhir.body_limit_bytes if lenient else min(_STRICT_LIMIT_BYTES, limits.batch_limit_bytes),
            limits.batch_timeout_seconds if lenient else limits.body_timeout_seconds,
            lambda part: self._memory_limit.reserve(request, len(part)),
        )
        self._rate_limit.charge_body(request, len(body))
        return body

    async def _parse_strict(self, body: bytes, today: dt.date) -> ParsedBundle | RefusedBundle:
        parts = await self._slicer.run(parse_bundle, body)
        return await self._slicer.run(self._strict.parse_resources, parts, today)

    async def _parse_lenient(self, body: bytes, today: dt.date) -> ParsedBundle | RefusedBundle:
        """Parse a Bundle in slices; a large one when no other is parsed, as its objects are larger than its body."""
        large = len(body) > _STRICT_LIMIT_BYTES
        timeout = self._settings.batch_timeout_seconds
        async with self._memory_limit.exclusive(timeout) if large else nullcontext():
            opened = await self._slicer.run(self._lenient.open, body)
            if isinstance(opened, OpenBundle):
                for places in opened.slices():
                    await self._slicer.run(self._lenient.read, opened, places)
            reading = await self._slicer.run(self._lenient.finish, opened, today)
        return reading.result


def _resource(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type=FHIR_TYPE)


def _base_url(request: web.Request) -> str:
    """Return the URL of this server, by the name that the caller uses for it."""
    if not _HOST.fullmatch(request.host):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Invalid Host header.")
    return f"{request.scheme}://{request.host}"


def _check_type(request: web.Request) -> tuple[str, ...]:
    """Return a note if a request is of another version of FHIR than R4; raises ProblemError if it cannot be read."""
    if request.content_type.endswith("xml"):
        detail = f"XML is not read: send the Bundle as JSON, as {FHIR_TYPE}."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)
    if request.content_type not in _TYPES:
        detail = f"Unsupported media type; send a Bundle as {FHIR_TYPE}."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)
    found = _VERSION.search(request.headers.get("Content-Type", ""))
    name = _VERSIONS.get(found[1][:3]) if found else ""
    if name is None:
        detail = f"Unsupported fhirVersion; send {', '.join(_VERSIONS)}."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)
    return (f"The Bundle is of FHIR {name}: the elements that are read are the same in R4.",) if name else ()


def _strictness(request: web.Request, settings: Fhir) -> str:
    chosen = request.query.get("strictness", settings.strictness)
    if chosen not in STRICTNESS:
        detail = f"strictness must be {' or '.join(STRICTNESS)}."
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail, ends_connection=True)
    return chosen
