"""The work of `heartstream verify`: from settings and choices to what is printed."""

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
from heartstream.operations.verify.models import Shelf
from heartstream.operations.verify.verification import BROKEN, Finding, Verdict, prove
from heartstream.terminal.progress import ProgressCounter
from heartstream.terminal.tables import print_line
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from worker.formats import Formats

_SHOWN: Final = 20
"""So many findings are printed one by one; all of them as JSON."""


def verify(models: Path | None, chosen: RecordRange, *, as_json: bool) -> bool:
    """Prove scores, print what was found, and say whether nothing speaks against any of them."""
    settings = Settings.from_mapping(os.environ)
    shelf = Shelf(models or Path(settings.model.path), settings.model.key())
    topic, verdicts = settings.topics.scores, Counter[Verdict]()
    tell = _as_json if as_json else _in_words(topic)
    with Reader.open(settings) as scores, Reader.open(settings) as records:
        spans = scores.between(topic, chosen.since, chosen.until)
        size = sum(span.end - span.first for span in spans.values())
        with ProgressCounter(size, "scores") as progress:
            for finding in islice(prove(scores, records, topic, spans, shelf, Formats.reading(settings)), chosen.limit):
                progress.advance()
                verdicts[finding.verdict] += 1
                if finding.verdict is not Verdict.PROVED:
                    progress.clear()
                    tell(finding)
    for verdict in Verdict:
        if verdicts[verdict] or verdict is Verdict.PROVED:
            sys.stderr.write(f"{verdicts[verdict]:>12,}  {verdict}\n")
    return not BROKEN & verdicts.keys()


def _as_json(finding: Finding) -> None:
    print_line(msgspec.json.encode(finding).decode())


def _in_words(topic: str) -> Callable[[Finding], None]:
    """Return what prints the first findings of each kind."""
    told = Counter[Verdict]()

    def tell(finding: Finding) -> None:
        told[finding.verdict] += 1
        if told[finding.verdict] > _SHOWN:
            return
        source = finding.source
        of = f" (of {source.topic}:{source.partition}:{source.offset})" if source else ""
        fields = f": {', '.join(finding.fields)}" if finding.fields else ""
        print_line(f"{topic}:{finding.partition}:{finding.offset}{of} {finding.verdict}{fields}")
        if told[finding.verdict] == _SHOWN:
            print_line(f"... no more of '{finding.verdict}' is shown; --json shows all")

    return tell
