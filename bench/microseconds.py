"""Where the worker's microseconds go: processor time for one record, by thread and by step.

Threads are told apart by /proc (librdkafka's own among them); within the threads that run Python, py-spy says which
step is at work. py-spy is no dependency of this project: pip install it into an environment of its own, and name it.

example: python -m bench.microseconds --py-spy /tmp/tools/bin/py-spy --records 300000
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import CONTENDERS, Contender
from bench.fleet import new_fleet
from bench.load import PARTITIONS, HeldInput, remove_topics, tell
from bench.meter import Reading, uncommitted_ends
from bench.output import read_output
from bench.report import machine
from bench.stage import Stage, add_arguments, new_stage
from heartstream.terminal.exit_codes import errors_to_exit_codes

_RATE: Final = 500
_WAITING: Final = "serve_forever ("
_PYTHON: Final = "Python"
_ATTACH_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 30.0
_PROFILED: Final = ("bare", "heartstream", "heartstream-risk", "heartstream-eos", "bare-eos")

STEPS: Final = (
    ("schemas/record_format.py:", "decode the JSON"),
    ("scoring/native_decoder.py:", "decode the JSON into a matrix, natively"),
    ("scoring/native_encoder.py:", "JSON of the score, natively"),
    ("scoring/features.py:", "records to a matrix, legal values"),
    ("scoring/engines.py:", "model"),
    ("scoring/preprocessing.py:", "model"),
    ("schemas/codec.py:", "details and JSON of the score"),
    ("scoring/scorer.py:risks", "model"),
    ("scoring/details.py:", "details and JSON of the score"),
    ("scoring/scorer.py:", "bookkeeping of the core"),
    ("scoring/batches.py:", "bookkeeping of the core"),
    ("scoring/pipeline.py:", "bookkeeping of the core"),
    ("worker/kafka/batch.py:", "value, key and offset of each message"),
    ("worker/kafka/consumer_thread.py:_enqueue", "sort into batches, hand over"),
    ("worker/kafka/batch_queue.py:", "sort into batches, hand over"),
    ("worker/kafka/ledger.py:", "ledger"),
    ("worker/kafka/consumer_thread.py:", "take messages from librdkafka"),
    ("worker/kafka/lag.py:", "lag"),
    ("worker/kafka/bulk_produce.py:produce_range", "give results to librdkafka"),
    ("worker/kafka/producer.py:_take_refused", "delivery reports"),
    ("worker/kafka/producer.py:", "give results to librdkafka, delivery reports between"),
    ("worker/kafka/outgoing_record.py:", "delivery reports"),
    ("worker/kafka/", "Kafka client, other"),
    ("worker/agent.py:", "agent"),
    ("worker/", "worker, other"),
    ("runtime/", "metrics and logs"),
    ("faust/", "Faust, event loop"),
    ("mode/", "Faust, event loop"),
    ("asyncio/", "Faust, event loop"),
    ("bench/bare", "the loop itself: consume, produce"),
)
"""File and function of a frame, and the step that it belongs to; the innermost frame that is known decides."""


class Step(msgspec.Struct, frozen=True):
    """One line of the table."""

    what: str
    us: float
    share: float


OWNERS: Final[Mapping[str, tuple[str, ...]]] = {
    "librdkafka, and calls into it": (
        "value, key and offset of each message",
        "take messages from librdkafka",
        "delivery reports",
        "give results to librdkafka",
        "give results to librdkafka, delivery reports between",
        "the loop itself: consume, produce",
    ),
    "the model": ("model",),
    "the scoring core but the model": (
        "decode the JSON",
        "decode the JSON into a matrix, natively",
        "JSON of the score, natively",
        "records to a matrix, legal values",
        "details and JSON of the score",
        "bookkeeping of the core",
    ),
}
"""Steps that are not the worker's; librdkafka's threads count as its own."""
_LIBRDKAFKA, _REST = next(iter(OWNERS)), "the worker"


def owner_of(step: str) -> str:
    """Say whose a step is."""
    if step.startswith("librdkafka's"):
        return _LIBRDKAFKA
    return next((owner for owner, theirs in OWNERS.items() if step in theirs), _REST)


def step_of(stack: str) -> str:
    """Name the step of one stack as py-spy writes it: frames `name (file:line)`, outermost first, by semicolons."""
    for frame in reversed(stack.split(";")):
        name, _, rest = frame.partition(" (")
        # Newer versions of py-spy name the class as well.
        place = f"{rest.partition(':')[0]}:{name.rpartition('.')[2]}"
        for known, step in STEPS:
            if known in place:
                return step
    return "other Python"


def thread_ticks(pid: int) -> dict[int, tuple[str, int]]:
    """Return name and processor ticks of each thread."""
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        name = (folder / "comm").read_text(encoding="utf-8").strip()
        fields = (folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        found[int(folder.name)] = (name, int(fields[11]) + int(fields[12]))
    return found


def spent_seconds(before: Mapping[int, tuple[str, int]], after: Mapping[int, tuple[str, int]]) -> dict[str, float]:
    """Return the processor seconds spent between, librdkafka's threads by what they do, all others as Python's."""
    spent: Counter[str] = Counter()
    for thread, (name, ticks) in after.items():
        ours = name.removeprefix("rdk:").rstrip("0123456789")
        kind = f"librdkafka's {ours} threads" if name.startswith("rdk:") else _PYTHON
        spent[kind] += ticks - before.get(thread, ("", 0))[1]
    return {kind: ticks / os.sysconf("SC_CLK_TCK") for kind, ticks in spent.items()}


def steps(seconds: Mapping[str, float], samples: Mapping[str, int], records: int) -> list[Step]:
    """Share the Python threads' time out by samples, and put librdkafka's threads beside."""
    total = sum(seconds.values())
    in_all = sum(samples.values()) or 1
    found = [(name, spent) for name, spent in seconds.items() if name != _PYTHON]
    found += [(step, seconds.get(_PYTHON, 0.0) * count / in_all) for step, count in samples.items()]
    found.sort(key=lambda each: -each[1])
    return [Step(what, spent / records * 1e6, spent / total) for what, spent in found if spent]


def profile(contender: Contender, stage: Stage, records: int, py_spy: str) -> tuple[list[Step], Reading]:
    """Profile one run over records that are released when the profiler is there."""
    topic = f"{stage.topic}-held"
    held = HeldInput(stage.address, topic, records, PARTITIONS)
    mine = msgspec.structs.replace(stage, topic=topic, ends=uncommitted_ends(stage.address, topic, PARTITIONS))
    stacks = stage.folder / "stacks"
    with new_fleet(contender, mine, 1) as fleet:
        fleet.await_balanced()
        (pid,) = fleet.pids
        command = [py_spy, "record", "--pid", str(pid), "--rate", str(_RATE), "--format", "raw", "--nonblocking"]
        spy = subprocess.Popen(
            [*command, "--output", str(stacks)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(_ATTACH_SECONDS)
        before = thread_ticks(pid)
        held.release()
        samples = fleet.watch(records)
        spent = spent_seconds(before, thread_ticks(pid))
        spy.send_signal(signal.SIGINT)
        spy.wait(_STOP_SECONDS)
        output = read_output(mine.address, fleet.names.scores, mine.ends)
    remove_topics(stage.address, [topic])
    return steps(spent, _counted(stacks.read_text(encoding="utf-8")), records), Reading.of(samples, output, records)


def _counted(stacks: str) -> Counter[str]:
    """Count samples by step; without those of the telemetry's server, which waits and is taken to be at work."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        if _WAITING in stack:
            continue
        counts[step_of(stack)] += int(count)
    return counts


def lines(found: Sequence[Step]) -> list[str]:
    """Return the table as aligned text."""
    text = [f"{'µs/record':>10}{'share':>8}  step"]
    text += [f"{each.us:>10.2f}{each.share:>8.1%}  {each.what}" for each in found]
    text += ["", f"{sum(each.us for each in found):>10.2f}{1:>8.0%}  processor time in all, of which"]
    for owner in (*OWNERS, _REST):
        theirs = [each for each in found if owner_of(each.what) == owner]
        text.append(f"{sum(each.us for each in theirs):>10.2f}{sum(each.share for each in theirs):>8.1%}    {owner}")
    return text


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.microseconds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--py-spy", default="py-spy", help="the profiler's command (default: as found on the path)")
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--only", choices=_PROFILED, default="heartstream")
    parser.add_argument("--quick", action="store_true", help="100,000 records")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    if shutil.which(asked.py_spy) is None:
        parser.error(f"{asked.py_spy} is not there: pip install py-spy into an environment of its own, see --py-spy")
    return asked


@errors_to_exit_codes()
def main() -> None:
    """Profile and print."""
    asked = parse(sys.argv[1:])
    records = 100_000 if asked.quick else asked.records
    contender = next(each for each in CONTENDERS if each.name == asked.only)
    with new_stage(asked.broker, asked.model, 0) as stage:
        found, reading = profile(contender, stage, records, asked.py_spy)
    print(f"{asked.only}, {asked.model}, {records:,} records, {os.cpu_count()} cores, py-spy at {_RATE} Hz")
    print("\n".join(lines(found)))
    print(f"while profiled: {reading.records_per_s:,.0f} records/s")
    if asked.json:
        document = {"name": asked.only, "model": asked.model, "records": records, "steps": found, "machine": machine()}
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    tell("librdkafka's threads do not run Python: py-spy does not see them, /proc does")


if __name__ == "__main__":
    main()
