"""The work that every contender does between its own consuming and producing, and what it is told.

A contender in an environment of its own has no more of this repository than it needs for this: schemas, scoring and
runtime.settings.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from runtime.settings import Settings
from schemas.codec import encode_scores
from schemas.errors import HeartstreamError
from schemas.records import Source
from scoring.batches import JsonBatch
from scoring.scorer import Scorer

BATCH_RECORDS: Final = 2_000
TAKE_RECORDS: Final = 1_000
"""For frameworks that gather batches by themselves: a thousand is what their guides use."""
TAKE_SECONDS: Final = 0.05
LINGER: Final = "HEARTSTREAM_KAFKA__OPTIONS__LINGER_MS"
"""The worker's setting. Where it is set, it is every contender's that lets one set this option."""


class Task(msgspec.Struct, frozen=True):
    """Where to read and write, and the model."""

    servers: str
    group: str
    patients: str
    scores: str
    scorer: Scorer

    @classmethod
    def from_command_line(cls, module: str, purpose: str | None) -> Task:
        """Answer `--help`, else do as `from_environment`; exits with one line where that fails."""
        argparse.ArgumentParser(
            prog=f"python -m {module}",
            description=f"{purpose}\nConfigured by the worker's environment variables: docs/settings.md.",
            epilog=f"example: HEARTSTREAM_MODEL__PATH=model python -m {module}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        ).parse_args()
        try:
            return cls.from_environment()
        except HeartstreamError as error:
            sys.exit(f"{module}: {error}")

    @classmethod
    def from_environment(cls) -> Task:
        """Read the same settings as the worker, load the model, and take what was loaded out of garbage collection."""
        settings = Settings.from_mapping(os.environ)
        model = settings.model
        scorer = Scorer.from_directory(Path(model.path), model.name or None, settings.score, native=model.native)
        gc.collect()
        gc.freeze()
        kafka, topics = settings.kafka, settings.topics
        return cls(kafka.bootstrap_servers, settings.worker.group_id, topics.patients, topics.scores, scorer)

    def score(self, values: Sequence[bytes | None], sources: Sequence[Source | None]) -> list[bytes]:
        """Decode, validate, score and encode; one result a record."""
        results = self.scorer.score(JsonBatch(values, sources=sources).decode(self.scorer.compiled))
        if results.rejected:
            raise TypeError("the benchmark's records can all be scored")
        return encode_scores(results.scores)


def producer_config(servers: str) -> dict[str, str | int | float | bool]:
    """Return librdkafka's producer options for every contender that lets one set them: acks=all, lz4."""
    return {
        "bootstrap.servers": servers,
        "log_level": 2,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": os.environ.get(LINGER, "5"),
        "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 200_000,
    }


def consumer_config(servers: str, group: str) -> dict[str, str | int | float | bool]:
    """Return librdkafka's consumer options for every contender that lets one set them."""
    return {
        "bootstrap.servers": servers,
        "log_level": 2,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": 10,
        "queued.max.messages.kbytes": 32_768,
    }


def stop_on_sigterm() -> threading.Event:
    """Return an event that is set when the process is asked to stop."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    return stopping
