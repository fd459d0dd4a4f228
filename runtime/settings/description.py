"""The effective settings as text, without secrets."""

from __future__ import annotations

import re
from typing import Final

from runtime.settings.base import PREFIX
from runtime.settings.checks import PROTECTIVE
from runtime.settings.environment import OPTIONS, Settings, known_fields


def describe(settings: Settings) -> list[str]:
    """Return one `NAME=value` line per setting; client options are redacted unless known not to be secret.

    A protection that is off is a comment, because its variable must not be set to an empty value.
    """
    lines = []
    for variable, (group, field) in known_fields():
        value = getattr(getattr(settings, group), field.name)
        shown = "(redacted)" if value and variable in _SECRET else _without_password(value)
        off = "# " if variable in PROTECTIVE and not value else ""
        lines.append(f"{off}{PREFIX}{variable}={shown}")
    for option, text in sorted(settings.kafka.options.items()):
        shown = text if option in _HARMLESS_KAFKA_OPTIONS else "(redacted)"
        lines.append(f"{PREFIX}{OPTIONS}{option.upper().replace('.', '_')}={shown}")
    return lines


def _without_password(value: object) -> object:
    """Redact user info in each URL of a value; a host list may hold several."""
    return _USER_INFO.sub("://(redacted)@", value) if isinstance(value, str) else value


_USER_INFO: Final = re.compile(r"://[^\s,]*@")
_SECRET: Final = frozenset({"AUTH__API_KEYS", "AUDIT__KEY", "TRACING__HEADERS", "SCHEMA_REGISTRY__PASSWORD"})
_HARMLESS_KAFKA_OPTIONS: Final = frozenset(
    {"security.protocol", "sasl.mechanism", "sasl.mechanisms", "ssl.ca.location", "client.id", "linger.ms"}
)
