"""Client certificates at the gateway, alone and together with API keys."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from heartstream.demo.processes import running
from runtime.ports import free_port
from tests.fakes.identity_provider import CertificateAuthority
from tests.support.calls import PATIENTS
from tests.support.gateway_auth import CHIEF, CHIEF_LINE, LAB, LAB_LINE, PUBLIC_PATHS, SCRAPER, SCRAPER_LINE, bearer


@contextmanager
def tls_gateway(
    model_dir: Path, folder: Path, authority: CertificateAuthority, **settings: str
) -> Iterator[Callable[..., int]]:
    """Run a gateway with TLS that asks for client certificates; yield a function that returns a request's status."""
    (server, server_key), port = authority.issue("gateway"), free_port()
    fixed = {
        "MODEL__PATH": str(model_dir),
        "GATEWAY__PORT": str(port),
        "GATEWAY__SHUTDOWN_DELAY_SECONDS": "0",
        "AUTH__TLS_CERTIFICATE": str(server),
        "AUTH__TLS_KEY": str(server_key),
        "AUTH__TLS_CLIENT_CA": str(authority.certificate),
    }
    url = f"https://127.0.0.1:{port}"

    def answered(
        path: str,
        certificate: tuple[Path, Path] | None,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        request = urllib.request.Request(url + path, data=body, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    named = {f"HEARTSTREAM_{name}": value for name, value in {**fixed, **settings}.items()}
    with running("gateway", named, url, folder / "log") as child:
        while "listening" not in child.log.read_text(encoding="utf-8"):
            child.check()
        yield answered
    with pytest.raises(OSError):  # noqa: PT011  # nothing listens there, in plain words or in others
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).read()


def test_client_certificates_name_callers(model_dir: Path, tmp_path: Path) -> None:
    """The authority's certificates may predict; without one only health is answered; others are rejected."""
    (tmp_path / "other").mkdir()
    authority, other = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path / "other")
    client, twofold, stranger = authority.issue("ward-7"), authority.issue("ward-8", "chief"), other.issue("ward-7")
    with tls_gateway(model_dir, tmp_path, authority) as answered:
        found = (answered("/predict", client, PATIENTS[0]), answered("/metrics", client), answered("/health", client))
        assert found == (200, 403, 200)
        assert (answered("/predict", None, PATIENTS[0]), answered("/model", None)) == (401, 401)
        assert [answered(path, None) for path in PUBLIC_PATHS] == [200] * len(PUBLIC_PATHS)
        assert answered("/predict", twofold, PATIENTS[0]) == 401
        with pytest.raises(OSError):  # noqa: PT011  # TLS ends it, one way or another
            answered("/health", stranger)


def test_a_key_takes_precedence_over_a_certificate(model_dir: Path, tmp_path: Path) -> None:
    """A certificate neither extends nor restricts a key's scopes, and does not make an invalid key valid."""
    authority = CertificateAuthority(tmp_path)
    client, trail = authority.issue("lab"), tmp_path / "trail.jsonl"
    keys = f"{LAB_LINE} {SCRAPER_LINE} {CHIEF_LINE}"
    audit = {"AUDIT__PATH": str(trail), "AUDIT__KEY": "a secret of good length"}
    with tls_gateway(model_dir, tmp_path, authority, AUTH__API_KEYS=keys, **audit) as answered:
        sent = (bearer(LAB), {"x-api-key": SCRAPER}, bearer(CHIEF), {"authorization": f"Bearer {LAB}A"}, {})
        assert [answered("/predict", client, PATIENTS[0], each) for each in sent] == [200, 403, 200, 401, 200]
        assert answered("/metrics", client, None, bearer(SCRAPER)) == 200
    callers = [json.loads(line)["caller"] for line in trail.read_text(encoding="utf-8").splitlines()]
    assert callers == ["key:lab", "key:chief", "certificate:lab"]
