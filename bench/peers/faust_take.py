"""Stock Faust on its stock aiokafka transport, the way a good user writes it, around the same scoring core.

Records are taken a thousand at a time, scored in one call, and sent one by one with their keys. Offsets are Faust's
own affair. Everything that costs and is not needed is off: web server, leader topic, standbys.
"""

from __future__ import annotations

from typing import Any

import faust

from bench.task import TAKE_RECORDS, TAKE_SECONDS, Task
from schemas.records import Source


def new_app(task: Task) -> faust.App:
    """Make an app without agents."""
    return faust.App(
        task.group,
        broker=f"kafka://{task.servers}",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_linger_ms=5,
        value_serializer="raw",
        key_serializer="raw",
    )


def run(app: faust.App) -> None:
    """Run until SIGTERM."""
    worker = faust.Worker(app, loglevel="WARNING", quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


def taking_app(task: Task) -> faust.App:
    """Make an app that scores a thousand records at a time."""
    app = new_app(task)
    patients: Any = app.topic(task.patients)
    scores: Any = app.topic(task.scores)

    async def score(stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_SECONDS):
            sources = [Source(e.message.topic, e.message.partition, e.message.offset) for e in events]
            for event, value in zip(events, task.score([e.value for e in events], sources), strict=True):
                await scores.send(key=event.key, value=value)

    app.agent(patients, name="score")(score)
    return app


def main() -> None:
    """Run until SIGTERM."""
    run(taking_app(Task.from_command_line("bench.peers.faust_take", __doc__)))


if __name__ == "__main__":
    main()
