"""`POST /fhir/$heart-disease-risk` and `GET /fhir/metadata`: one Bundle in, one RiskAssessment out."""

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
from api.limits.memory_limit import Memory
from api.limits.rate_limit import Admission
from api.limits.time_slices import Turns
from api.problem_details import RefusalError
from api.protocols.fhir import operation_outcome
from api.protocols.fhir.bundle import parts_of
from api.protocols.fhir.parse import read_parts
from api.protocols.fhir.serialize import assessment
from api.routes.predict import Predictions
from api.strict_json import without_bom
from runtime.settings import Gateway
from schemas.codec import decode_score
from schemas.fhir.mapping import FHIR_TYPE, OPERATION
from schemas.fhir.responses import capability_statement
from scoring.model_manager import ModelManager

_TYPES: Final = (FHIR_TYPE, "application/json")
_LIMIT_BYTES: Final = 262_144
"""A Bundle is larger than a record, as resources bring narrative; to read as much keeps all others waiting."""


class Fhir:
    """Answers those who speak FHIR."""

    def __init__(
        self,
        predictions: Predictions,
        manager: ModelManager,
        admission: Admission,
        settings: Gateway,
        turns: Turns,
        memory: Memory,
        now: Callable[[], dt.datetime],
    ) -> None:
        """`now` tells the time, with its zone."""
        self._admission = admission
        self._turns = turns
        self._memory = memory
        self._predictions = predictions
        self._manager = manager
        self._settings = settings
        self._now = now
        self._capability = msgspec.json.encode(capability_statement(version("heartstream"), now().date().isoformat()))

    def routes(self) -> list[web.RouteDef]:
        """Return the protocol's routes."""
        return [web.post(OPERATION, self.assess), web.get("/fhir/metadata", self.metadata)]

    async def metadata(self, _request: web.Request) -> web.Response:
        """Say what can be done here."""
        return web.Response(body=self._capability, content_type=FHIR_TYPE)

    async def assess(self, request: web.Request) -> web.Response:
        """Score the patient of a Bundle: 200 with a RiskAssessment, 400 or 422 with all that is wrong."""
        if request.content_type not in _TYPES:
            detail = f"Send a Bundle as {FHIR_TYPE}."
            raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)
        limit = min(_LIMIT_BYTES, self._settings.batch_limit_bytes)
        body = await request_body.whole(
            request, limit, self._settings.body_timeout_seconds, lambda part: self._memory.hold(request, len(part))
        )
        self._admission.charge_body(request, len(body))
        now, began = self._now(), time.perf_counter()
        parts = await self._turns.run(parts_of, without_bom(body))
        reading = await self._turns.run(read_parts, parts, now.date())
        if isinstance(reading, tuple):
            await self._predictions.reject(request, body, reading, time.perf_counter() - began)
            return operation_outcome.rejected(reading)
        outcome = await self._predictions.outcome(request, reading.record)
        if isinstance(outcome, tuple):
            return operation_outcome.rejected(reading.faults_of(outcome))
        answer = assessment(reading, decode_score(outcome), self._manager.scorer, now)
        return web.Response(body=msgspec.json.encode(answer), content_type=FHIR_TYPE)
