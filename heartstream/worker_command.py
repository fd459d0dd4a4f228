"""`heartstream worker`: score the patients topic until stopped."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from cyclopts import Parameter

from heartstream.exit_codes import errors_to_exit_codes
from runtime.settings import Settings, describe


def worker(*, show_config: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Score patient records from Kafka until stopped.

    SIGTERM or Ctrl-C finishes what was started, commits it and leaves the group. Configured by environment variables:
    see docs/settings.md.

    Example: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=localhost:9092 heartstream worker

    Exit codes: 0 stopped; 1 failed while running (what was not committed is read again); 65 model refused;
    78 bad settings.

    Args:
        show_config: Print all settings, secrets redacted, and exit.
    """
    with errors_to_exit_codes():
        settings = Settings.from_mapping(os.environ)
        if show_config:
            sys.stdout.write("\n".join(describe(settings)) + "\n")
            return
        from worker.process import run  # noqa: PLC0415  # Faust takes a second to import; --help should not

        run(settings)
