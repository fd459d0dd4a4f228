"""`heartstream gateway`: serve predictions over HTTP until stopped."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from cyclopts import Parameter

from heartstream.exit_codes import UNAVAILABLE, errors_to_exit_codes
from runtime.settings import Settings, describe


def gateway(*, show_config: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Serve `POST /predict`, `GET /health` and `GET /metrics` until stopped.

    SIGTERM or Ctrl-C finishes the requests under way. Configured by environment variables: see docs/settings.md.

    Example: HEARTSTREAM_GATEWAY__PORT=8000 heartstream gateway

    Exit codes: 0 stopped; 65 model refused; 69 the port is not to be had; 78 bad settings.

    Args:
        show_config: Print all settings, secrets redacted, and exit.
    """
    with errors_to_exit_codes():
        settings = Settings.from_mapping(os.environ)
        if show_config:
            sys.stdout.write("\n".join(describe(settings)) + "\n")
            return
        from api.bootstrap import run  # noqa: PLC0415  # --help should not wait for scikit-learn

        try:
            run(settings)
        except OSError as error:
            sys.stderr.write(f"heartstream: cannot listen: {error.strerror}\n")
            raise SystemExit(UNAVAILABLE) from error
