"""`heartstream api-key`: create an API key for the gateway."""

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
    """Create an API key for a caller of the gateway, and its line for the key file.

    The key goes to standard output, and is shown only once. The line for the key file, which holds its SHA-256, goes to
    standard error, so that each can be redirected.

    Example: heartstream api-key lab-system 2>> keys.txt

    Exit codes: 0 created; 2 invalid name or scope.

    Args:
        name: The caller: letters, digits, dot, dash, underscore. Logs and the audit trail show it.
        scope: What the caller may do: predict, metrics or admin (everything). May be repeated.
    """
    with errors_to_exit_codes():
        from api.security.auth import SCOPES, new_key  # noqa: PLC0415  # --help should not wait for aiohttp

        if not _NAME.fullmatch(name) or not scope or not set(scope) <= set(SCOPES):
            sys.stderr.write(f"heartstream: a name has letters, digits, . - _; scopes are {', '.join(SCOPES)}\n")
            raise SystemExit(BAD_USAGE)
        key, line = new_key(name, scope)
        print_line(key)
        sys.stderr.write(f"{line}\n")
