"""API keys of a gateway under test, and requests with them."""

from __future__ import annotations

from collections.abc import Mapping

from api.security.auth import new_key
from heartstream.demo.processes import Child
from tests.support.calls import PATIENTS, ask

(LAB, LAB_LINE), (SCRAPER, SCRAPER_LINE), (CHIEF, CHIEF_LINE) = (
    new_key(name, scopes) for name, scopes in (("lab", ["predict"]), ("prometheus", ["metrics"]), ("chief", ["admin"]))
)
PUBLIC_PATHS = [
    "/health",
    "/health/live",
    "/health/ready",
    "/health/startup",
    "/v2/health/live",
    "/v2/health/ready",
    "/ping",
]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def predict_status(gateway: Child, headers: Mapping[str, str]) -> int:
    return ask(gateway, "POST", "/predict", PATIENTS[0], headers).status
