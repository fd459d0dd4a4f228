"""One contender's run: started on a fresh group and output, measured, stopped, and what it wrote checked."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import Contender
from bench.cost import peak_mib
from bench.environments import ROOT
from bench.load import create_outputs, remove_topics, tell
from bench.meter import Meter, Reading, Sample, committed
from bench.output import Output, read_output, same_place
from bench.stage import SERVERS, Stage
from bench.toolchains import command
from runtime.ports import free_port

_STOP_SECONDS: Final = 60.0
_LOG_LINES: Final = 8


class Run(msgspec.Struct, frozen=True):
    """What was measured of one run, and what was wrong with what the contender wrote."""

    reading: Reading
    lost: int
    duplicated: int
    different: int = 0
    """Results with other bytes than the first contender's."""
    remarks: tuple[str, ...] = ()

    @property
    def troubles(self) -> list[str]:
        """Say in words what was wrong."""
        counts = {"lost": self.lost, "duplicated": self.duplicated, "different": self.different}
        return [f"{count} {what}" for what, count in counts.items() if count] + list(self.remarks)


class Names(msgspec.Struct, frozen=True):
    """The group and the topics that one run uses, and nobody else."""

    group: str
    scores: str
    dead_letters: str

    @classmethod
    def fresh(cls, stage: Stage, contender: Contender) -> Names:
        """Make up names, and the topics."""
        name = f"{stage.topic}-{contender.name}-{uuid.uuid4().hex[:6]}"
        names = cls(name, f"{name}-scores", f"{name}-dlq")
        create_outputs(stage.address, [names.scores, names.dead_letters], stage.partitions)
        return names

    def remove(self, stage: Stage) -> None:
        """Delete the topics."""
        remove_topics(stage.address, [self.scores, self.dead_letters])


def environment(contender: Contender, stage: Stage, names: Names, telemetry_port: int | None = None) -> dict[str, str]:
    """Return the environment variables for a contender: the worker's settings, which all of them read."""
    return {
        **os.environ,
        **dict(contender.settings),
        SERVERS: stage.address,
        "HEARTSTREAM_TOPICS__PATIENTS": stage.topic,
        "HEARTSTREAM_TOPICS__SCORES": names.scores,
        "HEARTSTREAM_TOPICS__DEAD_LETTERS": names.dead_letters,
        "HEARTSTREAM_WORKER__GROUP_ID": names.group,
        "HEARTSTREAM_MODEL__PATH": str(stage.model_folder),
        "HEARTSTREAM_MODEL__NAME": stage.model,
        "HEARTSTREAM_TELEMETRY__PORT": str(telemetry_port or free_port()),
        "PYTHONPATH": str(ROOT),
        # Start quickly even where the environment forbids to keep compiled modules: here they go with the folder.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(stage.folder / "compiled"),
    }


@contextmanager
def running(
    contender: Contender, variables: dict[str, str], log: Path, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a contender; one that drains is stopped by SIGTERM. Shows its log's end if it failed."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command(contender.environment), *contender.arguments],
            env=variables,
            cwd=folder or log.parent,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    except (RuntimeError, TimeoutError):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]:
            tell(f"  {contender.name}: {line}")
        raise
    finally:
        stop(process, drain=contender.drains)


def stop(process: subprocess.Popen[bytes], *, drain: bool) -> None:
    """End a process, the gentle way first if it drains; its children go with it."""
    if process.poll() is None and drain:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            tell("  it did not stop in time, and is killed")
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check(process: subprocess.Popen[bytes]) -> None:
    """Raise RuntimeError if a contender has ended by itself."""
    if process.poll() is not None:
        raise RuntimeError(f"the contender ended with code {process.returncode}")


def run_contender(contender: Contender, stage: Stage, results: int, untimed: float = 0.0) -> tuple[Run, Output]:
    """Measure a contender on the input's first `results` records, or all of them; returns what it wrote as well.

    The first `untimed` share of the results does not count.
    Raises RuntimeError or TimeoutError if it fails.
    """
    names = Names.fresh(stage, contender)
    try:
        samples, peak = _watched(contender, stage, names, results)
        place_of = same_place if contender.says == "records" else None
        output = read_output(stage.address, names.scores, stage.ends, place_of)
        whole = results == sum(stage.ends)
        reading = Reading.of(samples, output, results, peak, untimed=untimed)
        remarks = _remarks(contender, stage, names, whole=whole)
        return Run(reading, output.lost(whole=whole), output.duplicated, remarks=remarks), output
    finally:
        names.remove(stage)


def _watched(contender: Contender, stage: Stage, names: Names, results: int) -> tuple[list[Sample], float]:
    """Run it, and watch it until it has written enough."""

    def has_committed_enough() -> bool:
        offsets = committed(stage.address, names.group, stage.topic, stage.partitions)
        return sum(max(offset, 0) for offset in offsets) >= results

    variables = environment(contender, stage, names)
    meter = Meter(stage.address, names.scores, stage.partitions)
    # The first look can take seconds, as the topic is new; a fast contender would be done by then.
    meter.ends()
    with running(contender, variables, stage.folder / f"{names.group}.log") as process:
        is_whole = has_committed_enough if contender.transactional else lambda: True
        samples = meter.watch(process.pid, results, lambda: check(process), is_whole)
        return samples, peak_mib(process.pid)


def _remarks(contender: Contender, stage: Stage, names: Names, *, whole: bool) -> tuple[str, ...]:
    """Say what is wrong with what a contender committed, or rejected."""
    remarks = []
    if sum(Meter(stage.address, names.dead_letters, stage.partitions).ends()):
        remarks.append("dead letters")
    if whole and contender.drains:
        offsets = committed(stage.address, names.group, stage.topic, stage.partitions)
        if offsets != stage.ends:
            remarks.append("commits differ from the input's ends")
    return tuple(remarks)
