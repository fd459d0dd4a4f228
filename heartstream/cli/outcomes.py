"""`heartstream outcomes`: how good risks were, by what was found later."""

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
    """Judge the risks on the scores topic by the outcomes topic, each model by itself; propose a recalibration.

    An outcome is {"patient_id": ..., "outcome": 0 or 1}, and perhaps the `source` of its score. Tells observed over
    expected, the Brier score, calibration and ROC-AUC, and from 100 outcomes on whether a shift of all log-odds would
    help. Changes nothing, and is in no consumer group. More in docs/drift.md.

    Example: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 heartstream outcomes --window 100

    Exit codes: 0 told, or stopped while following; 69 no broker, or no such topic; 78 bad settings; 130 interrupted.

    Args:
        window: How many outcomes the last ones are.
        outcomes: How many of the newest outcomes are held in memory.
        follow: Go on, tell what changes, and show it as metrics at HEARTSTREAM_TELEMETRY__PORT.
        interval: Seconds between two looks at the topics.
        json: Print JSON, a line each time.
    """
    with errors_to_exit_codes():
        from heartstream.cli.configuration import load_settings  # noqa: PLC0415  # --help should not wait for numpy

        with train_extra():
            from heartstream.monitoring.outcomes import render, watch  # noqa: PLC0415  # the same
            from heartstream.monitoring.outcomes.calibration import Findings  # noqa: PLC0415  # the same

        def tell(findings: Findings) -> None:
            sys.stdout.write(render.as_json(findings).decode() if json else render.told(findings))
            sys.stdout.flush()

        settings = load_settings()
        question = watch.Question(outcomes, window)
        if follow:
            with until_stopped():
                watch.follow(settings, question, interval, tell)
            return
        tell(watch.find(settings, question))
