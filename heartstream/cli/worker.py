"""`heartstream worker`: score the patients topic until stopped."""

from __future__ import annotations

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes


def worker(*, show_config: Flag = False) -> None:
    """Score patient records from Kafka until stopped.

    On SIGTERM or Ctrl-C, finishes and commits records in flight, and leaves the group. Configured by environment
    variables: see docs/settings.md.

    Example: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=localhost:9092 heartstream worker

    Exit codes: 0 stopped; 1 failed while running (uncommitted records are read again); 65 model refused;
    69 telemetry port or schema registry unavailable; 78 invalid settings.

    Args:
        show_config: Print all settings, with secrets redacted, and exit.
    """
    with errors_to_exit_codes():
        settings = load_settings(show_config=show_config)
        from worker.main import run  # noqa: PLC0415  # Faust takes a second to import; --help should not

        run(settings)
