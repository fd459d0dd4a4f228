"""A gateway whose page may be launched by an EHR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from tests.fakes.smart_server import CLIENT_ID, Ehr, running_ehr

STORED = "[localStorage.length, sessionStorage.length, document.cookie]"
"""What a page has stored, as JavaScript."""


@contextmanager
def serving_ehr(model: Path, folder: Path, fhir_server: str | None) -> Iterator[tuple[Child, Ehr]]:
    """Run a gateway, and an EHR at which its page is registered; `fhir_server` is the base URL of what is behind it."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running_ehr(f"{url}/", fhir_server) as ehr:
        settings = {
            "HEARTSTREAM_MODEL__PATH": str(model),
            "HEARTSTREAM_GATEWAY__PORT": str(port),
            "HEARTSTREAM_SMART__CLIENT_ID": CLIENT_ID,
            "HEARTSTREAM_SMART__ISSUERS": ehr.issuer,
            "HEARTSTREAM_SMART__TOKEN_ORIGINS": ehr.login_origin,
        }
        with running("gateway", settings, url, folder / "gateway.log") as child:
            child.await_ready()
            yield child, ehr
