"""A real gateway, a real browser, and a page that records its requests and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from tests.browser.browsers import launched
from tests.browser.visit import Visit


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def gateway(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    port = free_port()
    settings = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_GATEWAY__PORT": str(port)}
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    with running("gateway", settings, f"http://127.0.0.1:{port}", log) as child:
        child.await_ready()
        yield child
    assert child.process.returncode == 0


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def visit(browser, gateway: Child) -> Iterator[Visit]:
    context = browser.new_context()
    visit = Visit(context.new_page(), gateway.url)
    visit.open()
    yield visit
    context.close()


@pytest.fixture
def themed(browser, gateway: Child, theme: str) -> Iterator[Visit]:
    """A visit once with the light and once with the dark system theme."""
    context = browser.new_context(color_scheme=theme)
    visit = Visit(context.new_page(), gateway.url)
    visit.open()
    yield visit
    context.close()
