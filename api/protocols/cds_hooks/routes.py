"""`/cds-services`: the discovery, the service of the feature table, and its feedback."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from api import request_body
from api.limits.memory_limit import MemoryLimit
from api.limits.rate_limit import RateLimit
from api.limits.time_slices import TimeSlicer
from api.problem_details import ProblemError
from api.protocols.cds_hooks.cards import CardWriter, override_reasons
from api.protocols.cds_hooks.prefetch import Prefetched, assemble, missing_prefetch
from api.protocols.fhir.lenient import LenientParser
from api.protocols.fhir.parse import RefusedBundle
from api.protocols.fhir.reading import SlicedParser
from api.protocols.fhir.routes import base_url
from api.routes.predict import PredictionRoutes
from api.security.cors import CorsHeaders
from api.strict_json import without_bom
from runtime import events
from runtime.settings import Settings
from schemas.cds_hooks.requests import CardFeedback, FeedbackRequest, HookRequest
from schemas.cds_hooks.responses import OVERRIDE_REASONS, Card, Cards
from schemas.cds_hooks.service import (
    HOOK,
    OBSERVATIONS,
    RESPONSE,
    SERVICES,
    discovery,
    observed_fields,
    prefetch_keys,
    service_path,
)
from schemas.codec import decode_score
from schemas.errors import RejectionCode, ValidationIssue
from schemas.fhir.mapping import FhirMapping
from scoring.model_manager import ModelManager

_JSON: Final = "application/json"
_INCOMPLETE: Final = "The search {} failed, or its pages are not sorted: newer values than those used may exist."
_CALL: Final = (
    f"The body is not a call of the hook {HOOK}: send hook, hookInstance, context (userId, patientId) and prefetch as "
    "CDS Hooks 2.0 describes them."
)
_FEEDBACK: Final = (
    "The body is not feedback: send an array `feedback` with card, outcome (accepted, with acceptedSuggestions, or "
    "overridden) and outcomeTimestamp of each card, as CDS Hooks 2.0 describes them."
)
_Body = TypeVar("_Body")


class CdsHooksRoutes:
    """Handles the requests of EHRs."""

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
        self._predictions = predictions
        self._manager = manager
        self._rate_limit = rate_limit
        self._settings = settings
        self._slicer = slicer
        self._memory_limit = memory_limit
        self._mapping = mapping
        self._now = now
        parser = LenientParser(mapping, manager.compiled.records, settings.fhir.lookback_days)
        self._lenient = SlicedParser(parser, slicer, memory_limit, settings.gateway.batch_timeout_seconds)
        self._cards = CardWriter(mapping, settings.cds_hooks, settings.gateway.public_url)
        self._keys = prefetch_keys(mapping)
        self._observed = frozenset(observed_fields(mapping))
        self._required = tuple(each.name for each in mapping.table.features if each.required)
        self._reasons = {each.code for each in override_reasons(mapping.table)}

    def routes(self, cors: CorsHeaders) -> list[web.RouteDef]:
        """Return the routes, and those of the preflight requests to them."""
        path = service_path(self._mapping)
        posts = {path: self.call, f"{path}/feedback": self.feedback}
        return [
            web.get(SERVICES, self.discover),
            *(web.post(each, handler) for each, handler in posts.items()),
            *(web.options(each, cors.preflight) for each in (SERVICES, *posts)),
        ]

    async def discover(self, request: web.Request) -> web.Response:
        """Return the service, and the FHIR data that it asks for."""
        url = base_url(request, self._settings.gateway.public_url)
        return _response(discovery(self._mapping, url, self._manager.scorer.manifest.data.population))

    async def call(self, request: web.Request) -> web.Response:
        """Score the patient whose record was opened: 200 with one card, 412 if data were not prefetched."""
        limit = self._settings.fhir.body_limit_bytes
        body = await self._body(request, limit, self._settings.gateway.batch_timeout_seconds)
        called = await self._slicer.run(_decode, body, HookRequest, _CALL)
        patient_id = called.context.patient_id
        prefetched = await self._slicer.run(assemble, called.prefetch, self._keys, patient_id)
        self._memory_limit.reserve(request, len(prefetched.bundle))
        card = await self._card(request, prefetched)
        return _response(Cards((card,)))

    async def _card(self, request: web.Request, prefetched: Prefetched) -> Card:
        now, began = self._now(), time.perf_counter()
        parsed = await self._lenient.parse(prefetched.bundle, now.date())
        if isinstance(parsed, RefusedBundle):
            await self._predictions.reject(request, prefetched.bundle, parsed.issues, time.perf_counter() - began)
            return self._refusal(parsed.issues, prefetched)
        outcome = await self._predictions.score_record(request, parsed.record)
        if isinstance(outcome, tuple):
            return self._refusal(parsed.issues_of(outcome), prefetched)
        notes = [_INCOMPLETE.format(key) for key in prefetched.incomplete]
        events.CdsCardReturned("risk").emit()
        return self._cards.risk(parsed, decode_score(outcome), self._manager.scorer, notes)

    def _refusal(self, issues: Sequence[ValidationIssue], prefetched: Prefetched) -> Card:
        """Return the card of a patient without a risk; raises ProblemError (412) if that may be for want of data."""
        missing = [(name, issue) for issue in issues for name in self._required if _is_missing(name, issue)]
        unsatisfied = {*prefetched.unsatisfied}
        if RESPONSE in unsatisfied:
            keys = [f"{OBSERVATIONS}{name}" for name, _ in missing if name in self._observed]
            if wanted := [key for key in keys if key in unsatisfied]:
                raise missing_prefetch([*wanted, RESPONSE])
        if len(missing) == len(issues):
            events.CdsCardReturned("questions").emit()
            return self._cards.questions([name for name, _ in missing], self._manager.scorer)
        events.CdsCardReturned("unreadable").emit()
        texts = [_text(issue, prefetched.place_of(issue.pointer)) for issue in issues]
        return self._cards.unreadable(texts, self._manager.scorer)

    async def feedback(self, request: web.Request) -> web.Response:
        """Count what users did with cards: 200. Nothing else of it is kept."""
        limits = self._settings.gateway
        body = await self._body(request, limits.body_limit_bytes, limits.body_timeout_seconds)
        found = _decode(body, FeedbackRequest, _FEEDBACK).feedback
        if any(each.outcome == "accepted" and not each.accepted_suggestions for each in found):
            raise ProblemError(HTTPStatus.BAD_REQUEST, _FEEDBACK)
        for each in found:
            events.CdsFeedbackReceived(each.outcome, self._reason(each)).emit()
        return web.Response(body=b"{}", content_type=_JSON)

    def _reason(self, feedback: CardFeedback) -> str:
        given = feedback.override_reason
        if not given or not given.reason:
            return "none"
        coding = given.reason
        return coding.code if coding.system == OVERRIDE_REASONS and coding.code in self._reasons else "other"

    async def _body(self, request: web.Request, limit: int, seconds: float) -> bytes:
        """Return the body, for which memory was reserved, and which was charged."""
        if request.content_type != _JSON:
            detail = f"Unsupported media type; send {_JSON}."
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)
        body = await request_body.read_body(
            request, limit, seconds, lambda part: self._memory_limit.reserve(request, len(part))
        )
        self._rate_limit.charge_body(request, len(body))
        return without_bom(body)


def _decode(body: bytes, kind: type[_Body], detail: str) -> _Body:
    """Decode a request; raises ProblemError (400), without the decoder's message, which may quote it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail) from None


def _is_missing(name: str, issue: ValidationIssue) -> bool:
    return issue.code is RejectionCode.MISSING_VALUE and issue.message.startswith(f"{name}: ")


def _text(issue: ValidationIssue, place: str) -> str:
    return f"{issue.message} ({place})" if place else issue.message


def _response(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type=_JSON)
