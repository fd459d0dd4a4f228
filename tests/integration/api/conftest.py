"""A real gateway process, and ways to start others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from heartstream.demo.processes import Child, running
from runtime.embedded import free_port

Starter = Callable[..., AbstractContextManager[Child]]


@pytest.fixture(scope="session")
def start(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Starter:
    """Start a gateway with some settings; it must end well."""

    @contextmanager
    def started(**settings: str) -> Iterator[Child]:
        port = free_port()
        named = {f"HEARTSTREAM_{name}": value for name, value in settings.items()}
        fixed = {
            "HEARTSTREAM_MODEL__PATH": str(model_dir),
            "HEARTSTREAM_GATEWAY__PORT": str(port),
            "HEARTSTREAM_GATEWAY__LEAVE_SECONDS": "0",
        }
        log = tmp_path_factory.mktemp("gateway") / "gateway.log"
        with running("gateway", {**fixed, **named}, f"http://127.0.0.1:{port}", log) as child:
            child.await_ready()
            yield child
        assert child.process.returncode == 0

    return started


@pytest.fixture(scope="session")
def gateway(start: Starter) -> Iterator[Child]:
    """A gateway with a short patience, for all tests that change nothing."""
    with start(GATEWAY__BODY_TIMEOUT_SECONDS="1") as child:
        yield child
