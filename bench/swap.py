"""What swapping models costs a worker at full speed: records a second in spans with a swap, and without.

Example: python -m bench.swap --records 4000000
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import CONTENDERS
from bench.fleet import Fleet, new_fleet
from bench.load import tell
from bench.meter import POLL_SECONDS
from bench.output import read_output
from bench.report import machine
from bench.stage import Stage, add_arguments, new_stage
from heartstream.terminal.exit_codes import errors_to_exit_codes
from training.pipeline import TrainingRequest, train

_FOLLOW: Final = ("HEARTSTREAM_MODEL__RELOAD_INTERVAL_SECONDS", "0.2")
_SPAN_SECONDS: Final = 2.5
"""Longer than a swap: a look, a second or so for the proof in the other process, and the trial of the new model."""


class Span(msgspec.Struct, frozen=True):
    """Records a second over a span at whose beginning the link moved, or did not."""

    swapped: bool
    rate: float


class Found(msgspec.Struct, frozen=True):
    """The spans, in order, and what became of the records."""

    spans: list[Span]
    swaps: int
    lost: int
    duplicated: int

    def rate(self, *, swapped: bool) -> list[float]:
        """Return the rates of one kind of span."""
        return [span.rate for span in self.spans if span.swapped is swapped]


def measure(stage: Stage) -> Found:
    """Let one worker work off the topic, and swap its model in every second span. Raises as `Fleet.watch` does."""
    other, link = stage.folder / "second", stage.folder / "current"
    train(TrainingRequest(output=other, model_version="second", quick=True))
    _serve(link, stage.model_folder)
    named = next(each for each in CONTENDERS if each.name == "heartstream")
    contender = msgspec.structs.replace(named, settings=(*named.settings, _FOLLOW))
    with new_fleet(contender, msgspec.structs.replace(stage, model_folder=link), 1) as fleet:
        fleet.await_ready()
        spans = list(_spans(fleet, link, (other, stage.model_folder), sum(stage.ends)))
        fleet.watch(sum(stage.ends))
        output = read_output(stage.address, fleet.names.scores, stage.ends)
        log = next(stage.folder.glob(f"{fleet.names.group}-0.log")).read_text(encoding="utf-8")
    return Found(spans, log.count('"model swapped"'), output.lost(whole=True), output.duplicated)


def _spans(fleet: Fleet, link: Path, models: Sequence[Path], records: int) -> Iterator[Span]:
    """Yield spans while there is work for one more; the first seconds, in which all begins, do not count."""
    done, rate, number = _after(fleet, _SPAN_SECONDS), 0.0, 0
    while records - done > 2 * rate * _SPAN_SECONDS:
        swapped = number % 2 == 1
        if swapped:
            _serve(link, models[number // 2 % 2])
        started, before = time.monotonic(), done
        done = _after(fleet, _SPAN_SECONDS)
        rate = (done - before) / (time.monotonic() - started)
        tell(f"{'swap' if swapped else 'no swap':8} {rate:>10,.0f} records/s")
        yield Span(swapped, rate)
        number += 1


def _after(fleet: Fleet, seconds: float) -> int:
    """Wait, and return how many results there are then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    fleet.check()
    return sum(fleet.sample().ends)


def _serve(link: Path, model: Path) -> None:
    """Move the link in one step."""
    moved = link.with_name("moved")
    moved.symlink_to(model)
    moved.replace(link)


@errors_to_exit_codes()
def main() -> None:
    """Measure, print, and leave with 1 if a result was lost or doubled, or a model not swapped."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.swap", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=4_000_000, help="default 4,000,000, for about ten spans")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    add_arguments(parser)
    asked = parser.parse_args(sys.argv[1:])
    with new_stage(asked.broker, asked.model, asked.records) as stage:
        found = measure(stage)
    without, swapped = found.rate(swapped=False), found.rate(swapped=True)
    print(f"{asked.model}, {os.cpu_count()} cores; median records/s (min..max) of spans of {_SPAN_SECONDS:g} s")
    for name, rates in (("no swap", without), ("a swap", swapped)):
        print(f"{name:8} {statistics.median(rates):>10,.0f} ({min(rates):,.0f}..{max(rates):,.0f})")
    ratio = statistics.median(swapped) / statistics.median(without)
    print(f"ratio {ratio:.2f}; {found.swaps} swaps, lost {found.lost}, repeated {found.duplicated}")
    if asked.json:
        document = {**msgspec.to_builtins(found), "model": asked.model, "machine": machine()}
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    if found.lost or found.duplicated or found.swaps != len(swapped):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
