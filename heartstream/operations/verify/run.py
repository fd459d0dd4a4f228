"""The work of `heartstream verify`: from settings and options to output."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from heartstream.operations.dlq.filters import RecordRange
from heartstream.operations.verify.models import ModelDirectories
from heartstream.operations.verify.verification import CONTRADICTED, Finding, Verdict, verify_scores
from heartstream.terminal.progress import ProgressCounter
from heartstream.terminal.tables import print_line, print_wrapped
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from worker.serdes import Serdes

_SHOWN: Final = 20
"""At most this many findings per verdict are printed; JSON has all."""


def verify(folder: Path | None, chosen: RecordRange, *, as_json: bool) -> bool:
    """Verify scores, print the findings, and return whether no score is contradicted."""
    settings = Settings.from_mapping(os.environ)
    models = ModelDirectories(folder or Path(settings.model.path), settings.model.key())
    topic, verdicts = settings.topics.scores, Counter[Verdict]()
    print_finding = _print_json if as_json else _text_printer(topic)
    with Reader.open(settings) as scores, Reader.open(settings) as records:
        ranges = scores.between(topic, chosen.since, chosen.until)
        size = sum(offsets.end - offsets.first for offsets in ranges.values())
        with ProgressCounter(size, "scores") as progress:
            for finding in islice(
                verify_scores(scores, records, topic, ranges, models, Serdes.reading(settings)), chosen.limit
            ):
                progress.advance()
                verdicts[finding.verdict] += 1
                if finding.verdict is not Verdict.VERIFIED:
                    progress.clear()
                    print_finding(finding)
    for verdict in Verdict:
        if verdicts[verdict] or verdict is Verdict.VERIFIED:
            sys.stderr.write(f"{verdicts[verdict]:>12,}  {verdict}\n")
    return not CONTRADICTED & verdicts.keys()


def _print_json(finding: Finding) -> None:
    print_line(msgspec.json.encode(finding).decode())


def _text_printer(topic: str) -> Callable[[Finding], None]:
    """Return a function that prints the first findings of each verdict."""
    printed = Counter[Verdict]()

    def print_finding(finding: Finding) -> None:
        printed[finding.verdict] += 1
        if printed[finding.verdict] > _SHOWN:
            return
        source = finding.source
        of = f" (of {source.topic}:{source.partition}:{source.offset})" if source else ""
        fields = f": {', '.join(finding.fields)}" if finding.fields else ""
        print_wrapped(f"{topic}:{finding.partition}:{finding.offset}{of} {finding.verdict}{fields}", "  ")
        if printed[finding.verdict] == _SHOWN:
            print_line(f"... more of '{finding.verdict}' are not shown; --json shows all")

    return print_finding
