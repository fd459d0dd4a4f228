"""The `heartstream` command."""

from __future__ import annotations

from cyclopts import App

from heartstream import data_commands, dlq_command
from heartstream.demo_command import demo
from heartstream.gateway_command import gateway
from heartstream.train_command import train
from heartstream.worker_command import worker

app = App(
    name="heartstream",
    help="Scores patient records for heart disease, from Kafka and over HTTP. Research and education only.",
)
app.command(data_commands.app)
app.command(train)
app.command(demo)
app.command(worker)
app.command(gateway)
app.command(dlq_command.app)


def main() -> None:
    """Run the command."""
    app()
