"""`heartstream shadow`: try a second model on the live stream."""

from __future__ import annotations

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes


def shadow(*, show_config: Flag = False) -> None:
    """Score a sample of the patients topic with a challenger beside the model that is served, until stopped.

    The challenger's scores go to the topic scores.shadow; how the two differ, and what each costs, to /metrics. It is a
    process and a consumer group of its own: the workers, their scores and dead letters stay as they are. Configured as
    a worker, with HEARTSTREAM_CHALLENGER__PATH, NAME and SHARE: see docs/challenger.md.

    Example: HEARTSTREAM_CHALLENGER__PATH=model-2 HEARTSTREAM_CHALLENGER__SHARE=0.1 heartstream shadow

    Exit codes: 0 stopped; 1 failed while running (what was not committed is read again); 65 a model refused;
    69 the telemetry port is not to be had; 78 bad settings.

    Args:
        show_config: Print all settings, secrets redacted, and exit.
    """
    with errors_to_exit_codes():
        settings = load_settings(show_config=show_config)
        from worker.bootstrap import create_shadow_app  # noqa: PLC0415  # Faust takes a second to import
        from worker.process import run  # noqa: PLC0415  # the same

        run(settings, create_shadow_app)
