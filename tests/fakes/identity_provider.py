"""An identity provider that signs tokens, and a certificate authority."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class IdentityProvider:
    """An identity provider that signs tokens and publishes its keys."""

    def __init__(self) -> None:
        self.keys = {"k1": ec.generate_private_key(ec.SECP256R1())}
        self.asked = 0

    def fetch_key_set(self) -> Mapping[str, Any]:
        self.asked += 1
        found = [
            {
                **json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())),
                "kid": kid,
                "use": "sig",
                "alg": "ES256",
            }
            for kid, key in self.keys.items()
        ]
        return {"keys": found}

    def token(self, kid: str = "k1", **changes: Any) -> str:
        now = dt.datetime.now(dt.UTC)
        claims = {
            "iss": "https://id.example",
            "aud": "heartstream",
            "sub": "ward-7",
            "scope": "predict openid",
            "exp": now + dt.timedelta(minutes=5),
        }
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, self.keys[kid], algorithm="ES256", headers={"kid": kid})


class CertificateAuthority:
    """Issues certificates for a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        self.certificate = folder / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        made = self._built(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        self.certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _built(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def issue(self, name: str, *more: str) -> tuple[Path, Path]:
        """Write a certificate for 127.0.0.1, with one or more common names, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in (name, *more)])
        made = self._built(subject, key.public_key()).add_extension(address, critical=False)
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        paths[0].write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths
