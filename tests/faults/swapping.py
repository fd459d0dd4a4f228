"""Swapping models under load: the model that the link names, and the workers that serve it."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from runtime import metrics
from schemas.codec import decode_score
from schemas.records import Source
from scoring.model_artifact import load
from tests.faults.account import Result
from tests.faults.plan_run import PlanRun
from tests.faults.worker_processes import WorkerProcess
from tests.support.models import another_version, with_exchanged_labels

SETTINGS: Final = {"HEARTSTREAM_MODEL__RELOAD_INTERVAL_SECONDS": "0.2"}


class Alternatives(msgspec.Struct, frozen=True):
    """Two valid models with the same risks, and one with exchanged labels."""

    first: Path
    second: Path
    exchanged: Path

    @classmethod
    def of(cls, model: Path, folder: Path) -> Alternatives:
        """Create the other two models."""
        return cls(
            model,
            another_version(model, folder / "second", "second"),
            with_exchanged_labels(model, folder / "exchanged"),
        )


def serve(link: Path, model: Path) -> None:
    """Make a link name a model, atomically."""
    moved = link.with_name("moved")
    moved.symlink_to(model)
    moved.replace(link)


def swap(run: PlanRun, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """Two workers swap models under load, and refuse each bad one: nothing is lost, nothing is repeated."""
    swaps, link, models = (4 if quick else 30), run.link, run.alternatives
    digests = {path: load(path).model.digest for path in (models.first, models.second)}
    workers = [run.start_worker(), run.start_worker()]
    run.await_calm()
    for number in range(swaps):
        model = (models.second, models.first)[number % 2]
        serve(link, model)
        run.await_until(lambda digest=digests[model]: all(serves(each, digest) for each in workers), "no swap")
        run.await_progress()
        if number % 5 == 0:
            serve(link, models.exchanged)
            run.await_until(lambda: all(refuses(each) for each in workers), "a bad model is not refused")
    return f"{swaps} swaps, {-(-swaps // 5)} refused"


def serves(member: WorkerProcess, digest: str) -> bool:
    """Whether a worker reports that it serves this model."""
    return any(each.name == "heartstream_model_info" and each.labels["digest"] == digest for each in _shown(member))


def refuses(member: WorkerProcess) -> bool:
    """Whether a worker reports that it refuses the model that the link names."""
    return any(each.name == "heartstream_model_refused" and each.value == 1 for each in _shown(member))


def _shown(member: WorkerProcess) -> list[metrics.Sample]:
    with urllib.request.urlopen(f"{member.child.url}/metrics", timeout=10) as response:
        return metrics.read(response.read().decode())


def scorers_named(results: list[Result]) -> Mapping[Source, str]:
    """Return the digest of the model that each record's first score names."""
    named: dict[Source, str] = {}
    for result in results:
        if result.faults is None:
            named.setdefault(result.source, decode_score(result.value or b"").model.digest)
    return named
