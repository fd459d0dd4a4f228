"""The table of simulated recalibrations in docs/drift.md.

`python -m training.report.recalibration_table` simulates recalibrations of every candidate in every hospital and writes
the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.base import clone

from training.candidates import CANDIDATES, new_pipeline
from training.data.exploration import SITE_NAMES
from training.data.frames import TRAINING_SITE, features, read_snapshot, site_rows, target
from training.data.uci import UCI
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.recalibration import HARM_SIZES, Harm
from training.evaluation.recalibration_harm import simulate_recalibration
from training.report.markdown import table

PAGE: Final = Path(__file__).parents[2] / "docs" / "drift.md"
_BEGIN: Final = "<!-- python -m training.report.recalibration_table -->"
_END: Final = "<!-- end of the table -->"
_SEED: Final = 42


def harm_table(found: Mapping[str, Sequence[Harm]], names: Mapping[str, str]) -> str:
    """Return the harm by model as a Markdown table; `names` are the hospitals'."""
    return table(
        ["", "model", "outcomes", "proposed", "of these, worse", "Brier: gain", "possible", "largest loss"],
        harm_rows(found, names),
    )


def harm_rows(found: Mapping[str, Sequence[Harm]], names: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield a row for each model, hospital and number of outcomes."""
    for model, harms in found.items():
        for each in harms:
            yield [
                names[each.hospital],
                model,
                str(each.outcomes),
                f"{each.proposed:.1%}",
                "-" if each.worse is None else f"{each.worse:.1%}",
                *(f"{figure + 0.0:.4f}" for figure in (each.gain, max(each.possible, 0.0), each.largest_loss)),
            ]


def simulate(sizes: Sequence[int] = HARM_SIZES) -> dict[str, tuple[Harm, ...]]:
    """Simulate recalibrations of each candidate on the bundled data. Takes about ten seconds."""
    patients = read_snapshot()
    training_rows = site_rows(patients, TRAINING_SITE)
    matrix, labels = features(training_rows), target(training_rows)
    found = {}
    for candidate in CANDIDATES:
        pipeline, risks = new_pipeline(candidate.new(UCI, _SEED), UCI), np.empty(len(labels))
        for train, test in stratified_folds(labels, _SEED):
            risks[test] = clone(pipeline).fit(matrix[train], labels[train]).predict_proba(matrix[test])[:, 1]
        found[candidate.name] = simulate_recalibration(pipeline, patients, TRAINING_SITE, risks, _SEED, sizes)
    return found


def _parts(page: str) -> Iterator[str]:
    """Yield the parts of the page, with a new table."""
    before, rest = page.split(_BEGIN)
    yield from (before, _BEGIN, "\n\n", harm_table(simulate(), SITE_NAMES), "\n", _END, rest.split(_END)[1])


def main() -> None:
    """Write the table."""
    PAGE.write_text("".join(_parts(PAGE.read_text("utf-8"))), "utf-8")
    sys.stdout.write(f"written: {PAGE}\n")


if __name__ == "__main__":
    main()
