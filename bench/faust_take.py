"""Stock Faust on its stock aiokafka transport, the way a good user writes it, around the same scoring core.

Records are taken a thousand at a time, scored in one call, and sent one by one with their keys. Offsets are Faust's
own affair. Everything that costs and is not needed is off: web server, leader topic, standbys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import faust

from runtime.settings import Settings
from schemas.records import Source
from scoring.pipeline import Scored, process
from scoring.scorer import Scorer

TAKE_RECORDS: Final = 1_000
TAKE_SECONDS: Final = 0.05


def new_app(settings: Settings, scorer: Scorer) -> faust.App:
    """Assemble the app."""
    app = faust.App(
        settings.worker.group_id,
        broker=f"kafka://{settings.kafka.bootstrap_servers}",
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
    patients: Any = app.topic(settings.topics.patients)
    scores: Any = app.topic(settings.topics.scores)

    async def score(stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_SECONDS):
            sources = [Source(e.message.topic, e.message.partition, e.message.offset) for e in events]
            outcomes = process([event.value for event in events], sources, scorer)
            for event, outcome in zip(events, outcomes, strict=True):
                if isinstance(outcome, Scored):
                    await scores.send(key=event.key, value=outcome.value)

    app.agent(patients, name="score")(score)
    return app


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.from_mapping(os.environ)
    scorer = Scorer.from_directory(Path(settings.model.path), settings.model.name or None)
    worker = faust.Worker(new_app(settings, scorer), loglevel="WARNING", quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
