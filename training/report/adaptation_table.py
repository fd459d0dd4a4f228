"""The tables of docs/adapt.md: the built-in models at other hospitals, as they are and adapted.

`python -m training.report.adaptation_table [LABELLED.csv ...]` simulates adaptations of the linear candidates at the
hospitals of UCI Heart Disease and at those of labelled files, and writes the tables. Takes some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from training.candidates import CANDIDATES, new_pipeline
from training.data.exploration import SITE_NAMES
from training.data.frames import (
    TRAINING_SITE,
    drop_shared_rows,
    features,
    read_snapshot,
    site_rows,
    sites_of,
    target,
)
from training.data.labelled import read_labelled
from training.data.uci import UCI
from training.estimates import bootstrap_weights
from training.evaluation.adaptation import LocalModel, LocalPatients, Rung, preprocessed
from training.evaluation.adaptation_harm import DRAWS, Effect, simulate_adaptation
from training.evaluation.metrics import hospital_performance, prevalence_brier
from training.report.markdown import metric_with_interval, table

PAGE: Final = Path(__file__).parents[2] / "docs" / "adapt.md"
ADAPTED: Final = ("logistic_regression", "pattern_submodels")
_MARKS: Final = ("<!-- python -m training.report.adaptation_table tehran.csv -->", "<!-- end of the tables -->")
_SEED: Final = 42
_THRESHOLD: Final = 0.5
_BOOTSTRAPS: Final = 500
_FIGURES: Final = {
    "roc_auc": "ROC-AUC",
    "recall": "sensitivity",
    "specificity": "specificity",
    "brier": "Brier",
}


class FittedCandidate(NamedTuple):
    """A candidate fitted in Cleveland, and what a refit of it is."""

    pipeline: Any
    local: LocalModel

    @classmethod
    def named(cls, name: str) -> FittedCandidate:
        """Fit a candidate as a training run does."""
        candidate = next(each for each in CANDIDATES if each.name == name)
        rows = read_snapshot((TRAINING_SITE,))
        pipeline = new_pipeline(candidate.new(UCI, _SEED), UCI).fit(features(rows), target(rows))
        return cls(pipeline, LocalModel.like(pipeline["classify"], UCI))

    def patients(self, rows: pd.DataFrame) -> LocalPatients:
        """Return a hospital's patients with the model's risks."""
        matrix = features(rows)
        return LocalPatients(target(rows), self.pipeline.predict_proba(matrix)[:, 1], preprocessed(matrix, UCI))


def other_hospitals(files: Sequence[Path] = ()) -> dict[str, pd.DataFrame]:
    """Return the rows of the hospitals that the candidates were not trained at, by name; a file has its stem's."""
    shared = drop_shared_rows(read_snapshot())
    found = {SITE_NAMES[site]: site_rows(shared, site) for site in sites_of(shared) if site != TRAINING_SITE}
    return found | {path.stem.capitalize(): read_labelled(path, UCI).frame for path in files}


def simulate(name: str, hospitals: Mapping[str, pd.DataFrame], draws: int = DRAWS) -> tuple[Effect, ...]:
    """Simulate adaptations of a candidate at hospitals."""
    model = FittedCandidate.named(name)
    patients = {hospital: model.patients(rows) for hospital, rows in hospitals.items()}
    return simulate_adaptation(patients, model.local, _SEED, draws=draws)


def as_is_rows(name: str, hospitals: Mapping[str, pd.DataFrame]) -> Iterator[list[str]]:
    """Yield the figures of a candidate as it is, by hospital."""
    model = FittedCandidate.named(name)
    for hospital, rows in hospitals.items():
        labels, risks, _ = model.patients(rows)
        found = hospital_performance(labels, risks, _THRESHOLD, bootstrap_weights(len(labels), _SEED, _BOOTSTRAPS))
        figures = [metric_with_interval(found, figure) for figure in _FIGURES]
        yield [hospital, name, str(found.patients), str(found.events), *figures, f"{prevalence_brier(labels):.2f}"]


def effect_rows(name: str, effects: Sequence[Effect]) -> Iterator[list[str]]:
    """Yield the effects of adapting a candidate, by hospital."""
    for each in effects:
        before, after = each.before, each.after
        area = "-" if None in {before.roc_auc, after.roc_auc} else f"{before.roc_auc:.3f} → {after.roc_auc:.3f}"
        yield [
            each.hospital,
            name,
            *(str(each.chosen[rung]) for rung in Rung),
            f"{each.worse:.1%}",
            area,
            f"{before.brier:.3f} → {after.brier:.3f}",
            f"{before.log_loss:.3f} → {after.log_loss:.3f}",
        ]


def tables(files: Sequence[Path]) -> str:
    """Return both tables."""
    hospitals = other_hospitals(files)
    as_is = [row for name in ADAPTED for row in as_is_rows(name, hospitals)]
    effects = [row for name in ADAPTED for row in effect_rows(name, simulate(name, hospitals))]
    headings = ["", "model", *map(str, Rung), "worse", "ROC-AUC", "Brier", "log loss"]
    return (
        "As it is:\n\n"
        + table(["", "model", "patients", "events", *_FIGURES.values(), "Brier of prevalence"], as_is)
        + f"\nAdapted, {DRAWS} draws of 100 patients; medians over the draws, before → after:\n\n"
        + table(headings, effects)
    )


def main() -> None:
    """Write the tables."""
    (begin, end), found = _MARKS, tables([*map(Path, sys.argv[1:])])
    before, rest = PAGE.read_text("utf-8").split(begin)
    PAGE.write_text(f"{before}{begin}\n\n{found}\n{end}{rest.split(end)[1]}", "utf-8")
    sys.stdout.write(f"written: {PAGE}\n")


if __name__ == "__main__":
    main()
