"""`heartstream shadow`: run a challenger on the live stream."""

from __future__ import annotations

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes


def shadow(*, show_config: Flag = False) -> None:
    """Score a sample of the patients topic with a challenger model beside the champion, until stopped.

    The challenger's scores go to the topic scores.shadow; differences and the cost of each model go to /metrics. Runs
    in a separate process and consumer group: workers, scores and dead letters are not affected. Configured like a
    worker, with HEARTSTREAM_CHALLENGER__PATH, NAME and SHARE: see docs/challenger.md.

    Example: HEARTSTREAM_CHALLENGER__PATH=model-2 HEARTSTREAM_CHALLENGER__SAMPLE_RATIO=0.1 heartstream shadow

    Exit codes: 0 stopped; 1 failed while running (uncommitted records are read again); 65 model refused;
    69 telemetry port unavailable; 78 invalid settings.

    Args:
        show_config: Print all settings, with secrets redacted, and exit.
    """
    with errors_to_exit_codes():
        settings = load_settings(show_config=show_config)
        from worker.bootstrap import create_shadow_app  # noqa: PLC0415  # Faust takes a second to import
        from worker.main import run  # noqa: PLC0415  # the same

        run(settings, create_shadow_app)
