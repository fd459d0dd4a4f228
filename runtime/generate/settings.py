"""docs/settings.md, generated from the settings and their docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from runtime.settings import PREFIX, Settings

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "settings.md"

_HEAD: Final = """# Settings

All settings are environment variables. A process with invalid settings reports all problems at start and exits with
code 78. `heartstream worker --show-config` prints the effective settings, without secrets.

- `<NAME>_FILE` reads the value from the named file. Use it for secrets.
- An empty file, an empty value for a protection (keys, tokens, TLS, audit, signatures) and an incomplete group
  (`AUDIT__KEY` without a path or topic) are errors: none of them means "off".
- `HEARTSTREAM_KAFKA__OPTIONS__<OPTION>` sets any option of librdkafka: `SASL_USERNAME` is `sasl.username`. Options
  specific to consumers or producers are passed only to them. Options that delivery guarantees depend on
  (`enable.idempotence`, `acks`, `enable.auto.commit`, `group.id` and similar) cannot be changed.

```sh
HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=kafka:9093
HEARTSTREAM_KAFKA__OPTIONS__SECURITY_PROTOCOL=SASL_SSL
HEARTSTREAM_KAFKA__OPTIONS__SASL_MECHANISM=SCRAM-SHA-512
HEARTSTREAM_KAFKA__OPTIONS__SASL_USERNAME=heartstream
HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD_FILE=/run/secrets/kafka-password
```
"""


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for group in msgspec.structs.fields(Settings):
        paragraphs = [" ".join(paragraph.split()) for paragraph in (group.type.__doc__ or "").split("\n\n")]
        parts.append("\n\n".join([f"## {group.name}", *paragraphs]) + "\n")
        rows = ["| variable | default | takes |", "|---|---|---|"]
        for field in msgspec.structs.fields(group.type):
            if field.name == "options":
                continue
            default = str(field.default).lower() if isinstance(field.default, bool) else field.default
            shown = f"`{default}`" if default != "" else "(empty)"
            rows.append(f"| `{PREFIX}{group.name.upper()}__{field.name.upper()}` | {shown} | {_takes(field.type)} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _takes(kind: Any) -> str:
    """Describe the values that a field accepts."""
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    base, limits = (get_args(kind)[0], get_args(kind)[1]) if get_origin(kind) is not None else (kind, None)
    word = {"bool": "true or false", "int": "whole number", "float": "number", "str": "text"}[base.__name__]
    if limits is None:
        return word
    if limits.description:
        return str(limits.description)
    if limits.pattern:
        return str(limits.pattern).strip("^$()").replace("|", ", ")
    bounds = {"from": limits.ge, "above": limits.gt, "to": limits.le}
    interval = " ".join(f"{name} {bound}" for name, bound in bounds.items() if bound is not None)
    return f"{word} {interval}".strip() if interval else f"{word}, not empty"
