"""`heartstream api-key`: a new key for a caller of the gateway."""

from __future__ import annotations

import re
import sys
from typing import Annotated

from cyclopts import Parameter

from heartstream.terminal.exit_codes import BAD_USAGE, errors_to_exit_codes
from heartstream.terminal.tables import print_line

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def api_key(
    name: str, /, *, scope: Annotated[tuple[str, ...], Parameter(negative="", show_default=", ".join)] = ("predict",)
) -> None:
    """Make a key for a caller of the gateway, and the line by which the gateway knows it.

    The key is shown this once, on standard output; only its SHA-256 goes into the file of keys, which is on standard
    error, so that each can be sent where it belongs.

    Example: heartstream api-key lab-system 2>> keys.txt

    Exit codes: 0 made; 2 a name or scope that is none.

    Args:
        name: The caller: letters, digits, dot, dash, underscore. It stands in logs and the audit trail.
        scope: What it may do: predict, metrics or admin (all). May be given more than once.
    """
    with errors_to_exit_codes():
        from api.auth import SCOPES, new_key  # noqa: PLC0415  # --help should not wait for aiohttp

        if not _NAME.fullmatch(name) or not scope or not set(scope) <= set(SCOPES):
            sys.stderr.write(f"heartstream: a name has letters, digits, . - _; scopes are {', '.join(SCOPES)}\n")
            raise SystemExit(BAD_USAGE)
        key, line = new_key(name, scope)
        print_line(key)
        sys.stderr.write(f"{line}\n")
