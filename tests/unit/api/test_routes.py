"""Every route that does work requires a scope."""

from __future__ import annotations

from pathlib import Path

from api.bootstrap import create_application
from api.graceful_shutdown import GracefulShutdown
from api.security.auth import Authenticator, describe_route
from runtime.settings import Settings


def test_every_post_route_requires_a_scope(model_dir: Path) -> None:
    """A route without one would serve any authenticated caller, also a key that may only read metrics."""
    settings = Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": str(model_dir)})
    application, _ = create_application(settings, Authenticator([]), GracefulShutdown())
    posts = [route.resource for route in application.router.routes() if route.method == "POST"]
    assert len(posts) >= 6
    assert [route.name for route in map(describe_route, posts) if route.scope is None] == []
