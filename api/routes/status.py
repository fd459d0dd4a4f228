"""`/health`, `/metrics` and `/model`: the status of the gateway and its model."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from runtime import events
from runtime.health import PATHS, Health
from schemas.http import ServedModel
from scoring.model_manager import ModelManager
from scoring.wording import single_labels

_JSON: Final = "application/json"
_MARKDOWN: Final = "text/markdown"


def health_routes(health: Health) -> list[web.RouteDef]:
    """Return the routes of the startup, liveness and readiness probes."""
    return [web.get(path, _health_handler(health, kinds)) for path, kinds in PATHS.items()]


def _health_handler(health: Health, kinds: tuple[str, ...]) -> Handler:
    async def respond(_request: web.Request) -> web.Response:
        status, body = health.report(*kinds)
        return web.Response(body=body, status=status, content_type=_JSON)

    return respond


async def metrics(_request: web.Request) -> web.Response:
    """Return Prometheus metrics."""
    body, content_type = events.render_metrics()
    return web.Response(body=body, headers={"Content-Type": content_type})


class ModelRoutes:
    """Handles requests for the model in use, its card and its report."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the model."""
        return [
            web.get("/model", self.model),
            web.get("/model/card", self.card),
            web.get("/model/report", self.report),
        ]

    async def model(self, _request: web.Request) -> web.Response:
        """Return the model in use."""
        scorer = self._manager.scorer
        manifest = scorer.manifest
        served = ServedModel(
            scorer.model,
            scorer.engine,
            manifest.threshold,
            manifest.feature_table,
            manifest.training_range,
            tuple(sorted(manifest.models)),
            manifest.data.population,
            single_labels(scorer.uncertainty, scorer.compiled),
        )
        return web.Response(body=msgspec.json.encode(served), content_type=_JSON)

    async def card(self, request: web.Request) -> web.Response:
        """Return the model card as Markdown, or as JSON if the client accepts it."""
        wanted = _JSON if _JSON in request.headers.get("Accept", "") else _MARKDOWN
        cards = self._manager.scorer.cards
        if wanted not in cards:
            raise web.HTTPNotFound
        return web.Response(body=cards[wanted], content_type=wanted, charset="utf-8", headers={"Vary": "Accept"})

    async def report(self, _request: web.Request) -> web.Response:
        """Return the results of the model's evaluation."""
        report = self._manager.scorer.report
        if report is None:
            raise web.HTTPNotFound
        return web.Response(body=report, content_type=_JSON)
