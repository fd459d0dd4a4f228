"""The operation of the feature table, a Bundle in and a RiskAssessment out, its form, and `GET /fhir/metadata`."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable
from functools import partial
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
from api.protocols.fhir.parse import BundleParser, ParsedBundle, RefusedBundle
from api.protocols.fhir.populate import populated
from api.protocols.fhir.reading import LARGE_BYTES, SlicedParser
from api.protocols.fhir.serialize import risk_assessment
from api.routes.predict import PredictionRoutes
from api.strict_json import without_bom
from runtime.settings import Fhir, Settings
from schemas.codec import decode_score
from schemas.fhir.mapping import FHIR_TYPE, STRICTNESS, FhirMapping
from schemas.fhir.questionnaire import questionnaire
from schemas.fhir.responses import capability_statement, operation_definition
from scoring.model_manager import ModelManager

_TYPES: Final = (FHIR_TYPE, "application/json", "application/json+fhir")
"""The last is that of STU3's first servers."""
_HOST: Final = re.compile(r"[\w.\-]+(?::\d{1,5})?|\[[\da-fA-F:.]+\](?::\d{1,5})?", re.ASCII)
_VERSION: Final = re.compile(r"fhirVersion=\"?([0-9.]+)")
_VERSIONS: Final = {"4.0": "", "4.3": "", "3.0": "STU3", "5.0": "R5"}
"""The versions of FHIR whose elements are read here, and the names of those that are not R4."""


class _Sent(msgspec.Struct, frozen=True):
    """A body, when it had been read, a note on its version of FHIR, and how it is to be read."""

    body: bytes
    at: dt.datetime
    version_note: tuple[str, ...]
    is_lenient: bool


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
        mapping = FhirMapping.required(manager.compiled.table)
        self._rate_limit = rate_limit
        self._slicer = slicer
        self._memory_limit = memory_limit
        self._predictions = predictions
        self._manager = manager
        self._settings = settings.gateway
        self._fhir = settings.fhir
        self._public_url = settings.gateway.public_url
        self._now = now
        self._mapping = mapping
        self._strict = BundleParser(mapping, manager.compiled.records)
        lenient = LenientParser(mapping, manager.compiled.records, settings.fhir.lookback_days)
        self._lenient = SlicedParser(lenient, slicer, memory_limit, settings.gateway.batch_timeout_seconds)
        self._described = mapping.operation, version("heartstream"), now().date().isoformat()

    def routes(self) -> list[web.RouteDef]:
        """Return the protocol's routes."""
        return [
            web.post(self._mapping.path, self.assess),
            web.get("/fhir/metadata", self.metadata),
            web.get(self._mapping.definition_path, self.definition),
            web.get(self._mapping.questionnaire_path, self.questionnaire),
            web.post(self._mapping.populate_path, self.populate),
        ]

    async def metadata(self, request: web.Request) -> web.Response:
        """Return the CapabilityStatement, with URLs of the host that the caller uses."""
        return _resource(capability_statement(*self._described, base_url(request, self._public_url)))

    async def definition(self, request: web.Request) -> web.Response:
        """Return the OperationDefinition."""
        return _resource(operation_definition(*self._described, base_url(request, self._public_url)))

    async def questionnaire(self, request: web.Request) -> web.Response:
        """Return the form of the feature table."""
        return _resource(questionnaire(self._mapping, base_url(request, self._public_url)))

    async def populate(self, request: web.Request) -> web.Response:
        """Fill the form in with what a Bundle has: 200 with it, 400 or 422 with every error. Nothing is scored."""
        base = base_url(request, self._public_url)
        sent = await self._read(request)
        parsed = await self._parse(sent, to_populate=True)
        if isinstance(parsed, RefusedBundle):
            return operation_outcome.rejected(parsed.issues, (*sent.version_note, *parsed.notes))
        return _resource(populated(parsed, self._mapping, sent.at, base, sent.version_note))

    async def assess(self, request: web.Request) -> web.Response:
        """Score the patient of a Bundle: 200 with a RiskAssessment, 400 or 422 with every error."""
        sent = await self._read(request)
        began = time.perf_counter()
        parsed = await self._parse(sent)
        if isinstance(parsed, RefusedBundle):
            await self._predictions.reject(request, sent.body, parsed.issues, time.perf_counter() - began)
            return operation_outcome.rejected(parsed.issues, (*sent.version_note, *parsed.notes))
        outcome = await self._predictions.score_record(request, parsed.record)
        if isinstance(outcome, tuple):
            notes = (*sent.version_note, *parsed.notes) if sent.is_lenient else ()
            return operation_outcome.rejected(parsed.issues_of(outcome), notes)
        parsed = msgspec.structs.replace(parsed, notes=(*parsed.notes, *sent.version_note))
        return _resource(risk_assessment(parsed, decode_score(outcome), self._manager.scorer, sent.at, self._mapping))

    async def _read(self, request: web.Request) -> _Sent:
        version_note = _check_type(request)
        lenient = _strictness(request, self._fhir) == "lenient"
        body = await self._body(request, lenient=lenient)
        return _Sent(body, self._now(), version_note, lenient)

    async def _body(self, request: web.Request, *, lenient: bool) -> bytes:
        """Return the body, for which memory was reserved, and which was charged."""
        limits = self._settings
        body = await request_body.read_body(
            request,
            self._fhir.body_limit_bytes if lenient else min(LARGE_BYTES, limits.batch_limit_bytes),
            limits.batch_timeout_seconds if lenient else limits.body_timeout_seconds,
            lambda part: self._memory_limit.reserve(request, len(part)),
        )
        self._rate_limit.charge_body(request, len(body))
        return body

    async def _parse(self, sent: _Sent, *, to_populate: bool = False) -> ParsedBundle | RefusedBundle:
        body, today = without_bom(sent.body), sent.at.date()
        if sent.is_lenient:
            return await self._lenient.parse(body, today, to_populate=to_populate)
        parts = await self._slicer.run(parse_bundle, body)
        return await self._slicer.run(partial(self._strict.parse_resources, parts, today, to_populate=to_populate))


def _resource(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type=FHIR_TYPE)


def base_url(request: web.Request, public_url: str) -> str:
    """Return the URL of this server for its clients: the configured one, or by the name that the caller uses for it."""
    if public_url:
        return public_url.rstrip("/")
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
