"""Quix Streams: one record at a time, as its data frames hand them out; there is no batch between two topics.

At-least-once, a checkpoint a second instead of every five, as the others commit.
"""

from __future__ import annotations

from typing import Any, Final

from quixstreams import Application, message_context

from bench.task import Task, consumer_config, producer_config
from schemas.records import Source

_OURS: Final = ("bootstrap.servers", "group.id", "enable.auto.commit", "auto.offset.reset", "partitioner")


def _extra(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what Quix sets itself."""
    return {name: value for name, value in options.items() if name not in _OURS}


def main() -> None:
    """Run until SIGTERM."""
    task = Task.from_command_line("bench.peers.quix_app", __doc__)
    app = Application(
        task.servers,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        auto_create_topics=False,
        loglevel="WARNING",
        consumer_extra_config=_extra(consumer_config(task.servers, task.group)),
        producer_extra_config=_extra(producer_config(task.servers)),
    )
    patients = app.topic(task.patients, value_deserializer="bytes", key_deserializer="bytes")
    scores = app.topic(task.scores, value_serializer="bytes", key_serializer="bytes")

    def score(value: bytes) -> bytes:
        context = message_context()
        (result,) = task.score([value], [Source(context.topic, context.partition, context.offset)])
        return result

    app.dataframe(patients).apply(score).to_topic(scores)
    app.run()


if __name__ == "__main__":
    main()
