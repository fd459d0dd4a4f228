"""Gateways of other feature tables, and visits to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from schemas.tables.feature_table import FeatureTable
from tests.browser.visit import Visit
from tests.support.other_tables import write_model_of


@contextmanager
def serving(own: FeatureTable, folder: Path) -> Iterator[Child]:
    """Run a gateway with a small model of the table."""
    port = free_port()
    model = write_model_of(own, folder / "model")
    settings = {"HEARTSTREAM_MODEL__PATH": str(model), "HEARTSTREAM_GATEWAY__PORT": str(port)}
    with running("gateway", settings, f"http://127.0.0.1:{port}", folder / "gateway.log") as child:
        child.await_ready()
        yield child


@contextmanager
def visiting(browser, gateway: Child) -> Iterator[Visit]:
    context = browser.new_context()
    visit = Visit(context.new_page(), gateway.url)
    visit.open()
    yield visit
    context.close()
