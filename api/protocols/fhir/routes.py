"""The operation of the feature table, and `GET /fhir/metadata`: one Bundle in, one RiskAssessment out."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
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
from api.protocols.fhir.parse import BundleParser
from api.protocols.fhir.serialize import risk_assessment
from api.routes.predict import PredictionRoutes
from api.strict_json import without_bom
from runtime.settings import Gateway
from schemas.codec import decode_score
from schemas.fhir.mapping import FHIR_TYPE, FhirMapping
from schemas.fhir.responses import capability_statement
from scoring.model_manager import ModelManager

_TYPES: Final = (FHIR_TYPE, "application/json")
_LIMIT_BYTES: Final = 262_144
"""A Bundle is larger than a record, as resources contain narrative; parsing more would block the event loop."""


class FhirRoutes:
    """Handles FHIR requests."""

    def __init__(
        self,
        predictions: PredictionRoutes,
        manager: ModelManager,
        rate_limit: RateLimit,
        settings: Gateway,
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
        self._settings = settings
        self._now = now
        self._mapping = mapping
        self._parser = BundleParser(mapping, manager.compiled.records)
        capability = capability_statement(mapping.operation, version("heartstream"), now().date().isoformat())
        self._capability = msgspec.json.encode(capability)

    def routes(self) -> list[web.RouteDef]:
        """Return the protocol's routes."""
        return [web.post(self._mapping.path, self.assess), web.get("/fhir/metadata", self.metadata)]

    async def metadata(self, _request: web.Request) -> web.Response:
        """Return the CapabilityStatement."""
        return web.Response(body=self._capability, content_type=FHIR_TYPE)

    async def assess(self, request: web.Request) -> web.Response:
        """Score the patient of a Bundle: 200 with a RiskAssessment, 400 or 422 with every error."""
        if request.content_type not in _TYPES:
            detail = f"Unsupported media type; send a Bundle as {FHIR_TYPE}."
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)
        limit = min(_LIMIT_BYTES, self._settings.batch_limit_bytes)
        body = await request_body.read_body(
            request,
            limit,
            self._settings.body_timeout_seconds,
            lambda part: self._memory_limit.reserve(request, len(part)),
        )
        self._rate_limit.charge_body(request, len(body))
        now, began = self._now(), time.perf_counter()
        parts = await self._slicer.run(parse_bundle, without_bom(body))
        parsed = await self._slicer.run(self._parser.parse_resources, parts, now.date())
        if isinstance(parsed, tuple):
            await self._predictions.reject(request, body, parsed, time.perf_counter() - began)
            return operation_outcome.rejected(parsed)
        outcome = await self._predictions.score_record(request, parsed.record)
        if isinstance(outcome, tuple):
            return operation_outcome.rejected(parsed.issues_of(outcome))
        assessment = risk_assessment(parsed, decode_score(outcome), self._manager.scorer, now, self._mapping)
        return web.Response(body=msgspec.json.encode(assessment), content_type=FHIR_TYPE)
