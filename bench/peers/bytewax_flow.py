"""Bytewax, with its own Kafka source and sink: batches of a thousand by partition, scored in one call.

Where it has read to is kept in Bytewax's recovery store, a snapshot a second, which is what it has for commits. Its
sink waits after each batch until all is confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.task import TAKE_RECORDS, Task, consumer_config, producer_config
from schemas.records import Source


def new_flow(task: Task) -> Dataflow:
    """Build source, scoring and sink."""
    consumer, producer = consumer_config(task.servers, task.group), producer_config(task.servers)
    flow = Dataflow("score")
    records = op.input(
        "patients",
        flow,
        KafkaSource(
            [task.servers],
            [task.patients],
            batch_size=TAKE_RECORDS,
            add_config={"fetch.queue.backoff.ms": consumer["fetch.queue.backoff.ms"]},
        ),
    )

    def score(batch: list[KafkaSourceMessage]) -> Iterable[KafkaSinkMessage]:
        sources = [Source(record.topic, record.partition, record.offset) for record in batch]
        values = task.score([record.value for record in batch], sources)
        return [KafkaSinkMessage(record.key, value) for record, value in zip(batch, values, strict=True)]

    scores = op.flat_map_batch("score", records, score)
    op.output("scores", scores, KafkaSink([task.servers], task.scores, add_config=producer))
    return flow


def main() -> None:
    """Run until killed."""
    task = Task.from_command_line("bench.peers.bytewax_flow", __doc__)
    store = Path(f"{task.group}-recovery")
    store.mkdir()
    init_db_dir(store, 1)
    cli_main(new_flow(task), epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(store))


if __name__ == "__main__":
    main()
