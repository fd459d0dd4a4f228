"""The built-in table's scores stay equal, byte for byte: `golden-scores.json` has their digests by model and source.

`python -m tests.unit.scoring.test_golden_scores` writes the file again. A change to it needs a decision record.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import numpy as np

from schemas.tables.builtin import UCI_HEART
from scoring.batches import JsonBatch
from scoring.features import Matrix
from scoring.reference_cases import reference_cases
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected
from tests.support.uci import UCI
from training.data.frames import features, read_snapshot, site_rows
from training.pipeline import TrainingRequest, train

FILE: Final = Path(__file__).with_name("golden-scores.json")
MODELS: Final = ("logistic_regression", "pattern_submodels", "random_forest")
NO_DIGEST: Final = b"0" * 16
"""A model's digest covers files that may change without a change of any score."""


def records_of(matrix: Matrix) -> list[bytes | None]:
    rows = [
        {name: None if np.isnan(value) else value for name, value in zip(UCI_HEART.names, row, strict=True)}
        for row in matrix.tolist()
    ]
    return [msgspec.json.encode({"patient_id": f"p-{number}", **row}) for number, row in enumerate(rows)]


def sources() -> dict[str, list[bytes | None]]:
    patients = read_snapshot()
    hospitals = {f"rows of {site}": site_rows(patients, site) for site in sorted(set(patients["site"]))}
    return {
        **{name: records_of(features(rows)) for name, rows in hospitals.items()},
        "reference cases": records_of(reference_cases(UCI.table)),
        "accepted examples": [value for _, value in accepted()],
        "rejected examples": [value for _, value, _ in rejected()],
    }


def digest_of(scorer: Scorer, values: list[bytes | None]) -> str:
    outcomes = scorer.score(JsonBatch(values).decode(scorer.compiled)).outcomes()
    lines = b"\n".join(map(msgspec.json.encode, outcomes))
    return hashlib.sha256(lines.replace(scorer.model.digest.encode(), NO_DIGEST)).hexdigest()


def digests(folder: Path) -> dict[str, dict[str, str]]:
    scorers = {name: Scorer.from_directory(folder, name) for name in MODELS}
    return {
        name: {source: digest_of(scorer, values) for source, values in sources().items()}
        for name, scorer in scorers.items()
    }


def test_every_score_of_the_built_in_table_has_its_golden_bytes(model_dir: Path) -> None:
    assert digests(model_dir) == json.loads(FILE.read_text())


def main() -> None:
    with TemporaryDirectory() as folder:
        train(TrainingRequest(Path(folder) / "model", model_version="test", quick=True))
        FILE.write_text(json.dumps(digests(Path(folder) / "model"), indent=2) + "\n")
    sys.stdout.write(f"{FILE.name} written\n")


if __name__ == "__main__":
    main()
