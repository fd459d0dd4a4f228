"""The `heartstream` command."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from cyclopts import App

from heartstream import data_commands, dlq_command, model_command
from heartstream.api_key_command import api_key
from heartstream.compare_command import compare
from heartstream.demo_command import demo
from heartstream.drift_command import drift
from heartstream.evaluate_command import evaluate
from heartstream.exit_codes import errors_to_exit_codes
from heartstream.explain_command import explain
from heartstream.gateway_command import gateway
from heartstream.outcomes_command import outcomes
from heartstream.replay_command import replay
from heartstream.score_command import score
from heartstream.shadow_command import shadow
from heartstream.top_command import top
from heartstream.topics_command import topics
from heartstream.train_command import train
from heartstream.verify_command import verify
from heartstream.worker_command import worker

app = App(
    name="heartstream",
    help="Scores patient records for heart disease, from Kafka, over HTTP and from files. Research and education only.",
)
app.command(data_commands.app)
app.command(train)
app.command(evaluate)
app.command(model_command.app)
app.command(explain)
app.command(score)
app.command(demo)
app.command(worker)
app.command(shadow)
app.command(compare)
app.command(gateway)
app.command(api_key)
app.command(topics)
app.command(drift)
app.command(outcomes)
app.command(top)
app.command(dlq_command.app)
app.command(verify)
app.command(replay)


def main() -> None:
    """Run the command; what the terminal's encoding lacks is written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with errors_to_exit_codes():
        app()
