"""An EHR that signs its calls of CDS services, and publishes its keys in a file."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://ehr.example.org/"
BASE = "https://risk.example.org/hs"
"""The URL of the gateway for the EHR."""
_ALGORITHMS = {"ec": "ES384", "rsa": "RS384", "rsa-without-alg": "RS384", "p256": "ES256"}


class CdsClient:
    """Signs tokens as CDS Hooks 2.0 describes them, for the service of the built-in table."""

    def __init__(self, path: Path) -> None:
        shared = rsa.generate_private_key(65537, 2048)
        self.keys: dict[str, Any] = {
            "ec": ec.generate_private_key(ec.SECP384R1()),
            "rsa": shared,
            "rsa-without-alg": shared,
            "p256": ec.generate_private_key(ec.SECP256R1()),
        }
        self.path = path
        path.write_text(json.dumps(self.key_set()), encoding="utf-8")

    def key_set(self) -> dict[str, Any]:
        found = []
        for kid, key in self.keys.items():
            kind = jwt.algorithms.RSAAlgorithm if kid.startswith("rsa") else jwt.algorithms.ECAlgorithm
            entry = json.loads(kind.to_jwk(key.public_key())) | {"kid": kid, "use": "sig", "alg": _ALGORITHMS[kid]}
            found.append({name: value for name, value in entry.items() if kid != "rsa-without-alg" or name != "alg"})
        return {"keys": found}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": f"{BASE}/cds-services/heart-disease-risk",
            "exp": now + 300,
            "iat": now,
            "jti": str(uuid.uuid4()),
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(
        self, kid: str = "ec", algorithm: str = "", headers: Mapping[str, Any] | None = None, **changes: Any
    ) -> str:
        """Return a token; None removes a claim, or a member of the header."""
        members = {
            name: value for name, value in {"kid": kid, **(headers or {})}.items() if value is not None or name == "typ"
        }
        # The library's `jwt.encode` refuses claims of wrong types, which are what is tested.
        payload = json.dumps(self.claims(**changes)).encode()
        return jwt.PyJWS().encode(payload, self.keys[kid], algorithm or _ALGORITHMS[kid], members)
