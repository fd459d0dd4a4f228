"""The `heartstream` command."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from cyclopts import App

from heartstream.cli import (
    adapt,
    api_key,
    compare,
    data,
    demo,
    dlq,
    drift,
    evaluate,
    evidence,
    explain,
    fhir,
    gateway,
    model,
    outcomes,
    replay,
    score,
    shadow,
    table,
    top,
    topics,
    train,
    verify,
    worker,
)
from heartstream.terminal.exit_codes import errors_to_exit_codes

app = App(
    name="heartstream",
    help="Score patient records for heart disease, from Kafka, over HTTP and from files. Research and education only.",
)
app.command(data.app)
app.command(table.app)
app.command(train.train)
app.command(evaluate.evaluate)
model.app.command(evidence.evidence)
app.command(adapt.adapt)
app.command(model.app)
app.command(explain.explain)
app.command(score.score)
app.command(demo.demo)
app.command(worker.worker)
app.command(shadow.shadow)
app.command(compare.compare)
app.command(gateway.gateway)
app.command(fhir.app)
app.command(api_key.api_key)
app.command(topics.topics)
app.command(drift.drift)
app.command(outcomes.outcomes)
app.command(top.top)
app.command(dlq.app)
app.command(verify.verify)
app.command(replay.replay)


def main() -> None:
    """Run the command. Characters that the terminal's encoding lacks are escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with errors_to_exit_codes():
        app()
