"""The peers in other languages write our bytes, and accept and reject what we do.

They run where `python -m bench.stream --peers native` has built them, and are skipped elsewhere: a build takes minutes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Final

import pytest

from bench.load import records
from bench.toolchains import command, is_built
from schemas.codec import encode_scores
from schemas.records import Details, Source
from schemas.tables.builtin import UCI_HEART
from scoring.batches import JsonBatch
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected

SEED: Final = 23
MADE: Final = 5_000
NOT_BUILT: Final = "python -m bench.stream --peers native builds it"
CASES: Final = [
    pytest.param(peer, says, marks=pytest.mark.skipif(not is_built(peer), reason=NOT_BUILT))
    for peer, says in (("rust", "risk"), ("rust", "all"), ("kafka-streams", "risk"))
]
DETAILS: Final = {"risk": Details(interval=False, label_set=False, reasons=0), "all": Details(interval=True, reasons=3)}


def made_up() -> list[bytes]:
    """Return records with values from all legal ranges, most fields measured, some with ids that need escapes."""
    draw = random.Random(SEED)  # noqa: S311  # for variety, not for secrets
    made = []
    for number in range(MADE):
        record: dict[str, object] = {"patient_id": draw.choice((f"p{number}", f"é{number}", f'"{number}\\', "\x01🫀"))}
        for feature in UCI_HEART.features:
            low, high = feature.limits or (0, 0)
            value = round(draw.uniform(low, high), 0 if feature.whole else 4)
            legal = [code for code, _ in feature.codes] or [value]
            missing = draw.random() < 0.2 and not feature.required
            record[feature.name] = draw.choice((None, *feature.missing) if missing else legal)
        made.append(json.dumps(record, ensure_ascii=draw.random() < 0.5).encode())
    return made


def values() -> list[bytes]:
    """Return valid and invalid records, each in one line and in UCI's own coding, the only one that a peer reads."""
    examples = [value for _, value in accepted()] + [value for _, value, _ in rejected()]
    lines = [value.replace(b"\n", b" ") for value in examples if b'"coding"' not in value]
    return [*lines, *(value for _, value in records(1_000)), *made_up()]


@pytest.mark.parametrize(("peer", "says"), CASES)
def test_a_peer_writes_our_bytes(peer: str, says: str, model_dir: Path) -> None:
    """An empty line stands for a rejected record."""
    lines = values()
    scorer = Scorer.from_directory(model_dir, "logistic_regression", DETAILS[says])
    sources = [Source("patients", 0, offset) for offset in range(len(lines))]
    results = scorer.score(JsonBatch(lines, sources=sources).decode(scorer.compiled))
    scores = iter(encode_scores(results.scores))
    expected = [b"" if place in results.rejected else next(scores) for place in range(len(lines))]
    variables = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_MODEL__NAME": "logistic_regression"}
    done = subprocess.run(
        [*command(peer), "lines", says],
        input=b"\n".join(lines) + b"\n",
        env=os.environ | variables,
        capture_output=True,
        check=True,
    )
    assert expected == done.stdout.split(b"\n")[:-1]
    assert 0 < len(results.rejected) < len(lines)
