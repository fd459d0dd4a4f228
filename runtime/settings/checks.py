"""Checks for settings that would silently disable a protection: empty ones, and incomplete groups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from schemas.topics import name_problem

PROTECTIVE: Final = frozenset(
    {
        "AUTH__API_KEYS",
        "AUTH__TOKEN_ISSUER",
        "AUTH__TOKEN_AUDIENCE",
        "AUTH__TOKEN_KEYS_URL",
        "AUTH__TLS_CERTIFICATE",
        "AUTH__TLS_KEY",
        "AUTH__TLS_CLIENT_CA",
        "CDS_HOOKS__ISSUERS",
        "AUDIT__PATH",
        "AUDIT__TOPIC",
        "AUDIT__KEY",
        "MODEL__PUBLIC_KEY",
        "SCHEMA_REGISTRY__USERNAME",
        "SCHEMA_REGISTRY__PASSWORD",
        "TRACING__HEADERS",
    }
)
"""If unset, the protection is off; so an empty value is a mistake, such as a template without its value."""

_SECRET_OPTIONS: Final = ("KAFKA__OPTIONS__SASL_", "KAFKA__OPTIONS__SSL_")
_PROTOCOL: Final = "KAFKA__OPTIONS__SECURITY_PROTOCOL"
_NEEDS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("AUTH__TOKEN_ISSUER", ("AUTH__TOKEN_AUDIENCE",)),
    ("AUTH__TOKEN_AUDIENCE", ("AUTH__TOKEN_KEYS_URL",)),
    ("AUTH__TOKEN_KEYS_URL", ("AUTH__TOKEN_ISSUER",)),
    ("AUTH__TLS_KEY", ("AUTH__TLS_CERTIFICATE",)),
    ("AUTH__TLS_CLIENT_CA", ("AUTH__TLS_CERTIFICATE",)),
    ("CDS_HOOKS__ISSUERS", ("GATEWAY__PUBLIC_URL",)),
    ("CDS_HOOKS__ISSUERS", ("CDS_HOOKS__ENABLED",)),
    ("CDS_HOOKS__LAUNCH_URL", ("CDS_HOOKS__ENABLED",)),
    ("CDS_HOOKS__WARN_ABOVE_THRESHOLD", ("CDS_HOOKS__ENABLED",)),
    ("AUDIT__KEY", ("AUDIT__PATH", "AUDIT__TOPIC")),
    ("AUDIT__WITH_INPUT", ("AUDIT__PATH", "AUDIT__TOPIC")),
    ("SCHEMA_REGISTRY__USERNAME", ("SCHEMA_REGISTRY__URL",)),
    ("SCHEMA_REGISTRY__PASSWORD", ("SCHEMA_REGISTRY__USERNAME",)),
    ("SCHEMA_REGISTRY__ENCODE_SCORES", ("SCHEMA_REGISTRY__URL",)),
    ("SMART__CLIENT_ID", ("SMART__ISSUERS",)),
    ("SMART__ISSUERS", ("SMART__CLIENT_ID",)),
    ("SMART__TOKEN_ORIGINS", ("SMART__ISSUERS",)),
    ("SMART__SCOPES", ("SMART__ISSUERS",)),
    ("CHALLENGER__CANARY_SHARE", ("CHALLENGER__PATH",)),
    ("TRACING__HEADERS", ("TRACING__ENDPOINT",)),
    ("TRACING__SAMPLE_RATIO", ("TRACING__ENDPOINT",)),
    ("KAFKA__OPTIONS__SASL_PASSWORD", (_PROTOCOL,)),
    ("KAFKA__OPTIONS__SSL_CA_LOCATION", (_PROTOCOL,)),
    ("KAFKA__OPTIONS__SSL_KEY_LOCATION", (_PROTOCOL,)),
    ("KAFKA__OPTIONS__SSL_CERTIFICATE_LOCATION", (_PROTOCOL,)),
)
"""Settings, and those of which at least one must be set with them; librdkafka would silently ignore its own.

Only the gateway checks that an audit trail has a key: other processes share the setting, but not the secret.
"""


def is_protective(variable: str) -> bool:
    """Return whether an empty value of this variable (without prefix) would turn off a protection."""
    return variable in PROTECTIVE or variable.startswith(_SECRET_OPTIONS)


def incomplete(in_force: Collection[str], prefix: str) -> Iterator[str]:
    """Yield the problems of incomplete groups, given the variables (without prefix) that are set."""
    for variable, others in _NEEDS:
        if variable in in_force and not any(other in in_force for other in others):
            yield f"{prefix}{variable} needs {' or '.join(f'{prefix}{other}' for other in others)}, which is not set"


def topic_problems(named: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems of topics, given by variable: invalid names, and topics used for two purposes."""
    first: dict[str, str] = {}
    for variable, topic in named.items():
        if (problem := name_problem(topic)) is not None:
            yield f"{variable} {problem}"
        elif (other := first.setdefault(topic, variable)) != variable:
            yield f"{other} and {variable} are the same topic; they must differ"
