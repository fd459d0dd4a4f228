"""docs/settings.md, made from the settings themselves: `python -m runtime.settings_page`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from runtime.settings import PREFIX, Settings

PAGE: Final = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD: Final = """# Settings

All settings are environment variables. What is wrong with them is told all at once, at start, with exit code 78.
`heartstream worker --show-config` prints what is in force, without secrets.

- `<NAME>_FILE` reads a value from the file that it names: for secrets.
- A named file that is empty, a protection that is set to nothing (keys, tokens, TLS, audit, signatures), and a part of
  a group without the rest (`AUDIT__KEY` without a path or topic) end the start: none of them means "off".
- `HEARTSTREAM_KAFKA__OPTIONS__<OPTION>` reaches every option of librdkafka: `SASL_USERNAME` is `sasl.username`. What
  only consumers or only producers know goes to them alone. What delivery depends on (`enable.idempotence`, `acks`,
  `enable.auto.commit`, `group.id` and their like) cannot be changed.

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
        parts.append(f"## {group.name}\n\n{' '.join((group.type.__doc__ or '').split())}\n")
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
    """Say what a field takes, in words."""
    base, limits = (get_args(kind)[0], get_args(kind)[1]) if get_origin(kind) is not None else (kind, None)
    word = {"bool": "true or false", "int": "whole number", "float": "number", "str": "text"}[base.__name__]
    if limits is None:
        return word
    if limits.pattern:
        return str(limits.pattern).strip("^$()").replace("|", ", ")
    bounds = {"from": limits.ge, "above": limits.gt, "to": limits.le}
    told = " ".join(f"{name} {bound}" for name, bound in bounds.items() if bound is not None)
    return f"{word} {told}".strip() if told else f"{word}, not empty"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write("wrote docs/settings.md\n")
