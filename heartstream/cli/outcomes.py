"""`heartstream outcomes`: how accurate risks were, by known outcomes."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter, validators

from heartstream.cli.options import Count, Flag
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.signals import until_stopped


def outcomes(
    *,
    window: Count = 200,
    outcomes: Count = 100_000,
    follow: Flag = False,
    interval: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 60.0,
    json: Flag = False,
) -> None:
    """Evaluate the risks on the scores topic against the outcomes topic, for each model; propose a recalibration.

    An outcome is {"patient_id": ..., "outcome": 0 or 1}, optionally with the `source` of its score. Prints observed
    over expected, Brier score, calibration and ROC-AUC, and, from 100 outcomes on, whether a shift of all log-odds
    would help. Changes nothing, and uses no consumer group. See docs/drift.md.

    Example: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 heartstream outcomes --window 100

    Exit codes: 0 evaluated, or stopped with --follow; 69 no broker or no such topic; 78 invalid settings;
    130 interrupted.

    Args:
        window: The number of outcomes in the window of the newest ones.
        outcomes: The number of the newest outcomes to keep in memory.
        follow: Keep running, print changes, and export metrics on HEARTSTREAM_TELEMETRY__PORT.
        interval: Seconds between reads of the topics.
        json: Print JSON, one line each time.
    """
    with errors_to_exit_codes():
        from heartstream.cli.configuration import load_settings  # noqa: PLC0415  # --help should not wait for numpy

        with train_extra():
            from heartstream.monitoring.outcomes import render, watch  # noqa: PLC0415  # the same
            from heartstream.monitoring.outcomes.calibration import OutcomesReport  # noqa: PLC0415  # the same

        def print_report(report: OutcomesReport) -> None:
            sys.stdout.write(render.render_json(report).decode() if json else render.render_text(report))
            sys.stdout.flush()

        settings = load_settings()
        query = watch.Query(outcomes, window)
        if follow:
            with until_stopped():
                watch.follow(settings, query, interval, print_report)
            return
        print_report(watch.evaluate(settings, query))
