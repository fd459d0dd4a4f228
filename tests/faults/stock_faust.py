"""The stock Faust app of `bench.peers.faust_take` as a worker of the fault suite, to show Faust's own behaviour.

Its session timeout is ours, so that a killed worker is detected as soon; FAULTS_RAISE_EVERY makes the agent raise at
every n-th batch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import faust

from bench.peers.faust_take import taking_app
from bench.task import Task
from runtime.settings import Settings
from schemas.records import Source
from scoring.engines import Explanation
from scoring.features import Matrix
from scoring.scorer import Scorer
from tests.faults.plan_run import SESSION_SECONDS


class RaisingScorer(Scorer):
    """A scorer with a bug: it raises an unexpected exception at every n-th batch."""

    every = 0
    _batches = 0

    def encode(
        self, patient_ids: Sequence[str], matrix: Matrix, found: Explanation, sources: Sequence[Source | None]
    ) -> list[bytes]:
        self._batches += 1
        if self.every and self._batches % self.every == 0:
            raise LookupError("a bug")
        return super().encode(patient_ids, matrix, found, sources)


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.from_mapping(os.environ)
    scorer = RaisingScorer.from_directory(Path(settings.model.path), settings.model.name or None, settings.score)
    if isinstance(scorer, RaisingScorer):
        scorer.every = int(os.environ.get("FAULTS_RAISE_EVERY", "0"))
    topics = settings.topics
    servers, group = settings.kafka.bootstrap_servers, settings.worker.group_id
    app = taking_app(Task(servers, group, topics.patients, topics.scores, scorer))
    app.conf.broker_session_timeout = SESSION_SECONDS
    app.conf.broker_heartbeat_interval = SESSION_SECONDS / 3
    worker = faust.Worker(app, loglevel="WARNING", quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
