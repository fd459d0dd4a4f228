"""Three public cohorts with their tables in `tests/tables`; the files of two stand beside the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import pytest
from sklearn.datasets import load_breast_cancer

from tests.support.other_tables import table
from tests.support.training_runs import report_of, trained_once
from training.pipeline import OwnPatients, TrainingRequest, TrainingResult

COHORTS: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "cohorts"
with_cohorts = pytest.mark.skipif(not COHORTS.is_dir(), reason="the cohorts stand beside the repository only")


class Cohort(NamedTuple):
    """A cohort: its table and file, and the ROC-AUC and Brier score of a plain logistic regression, in 5 folds."""

    name: str
    patients: int
    events: int
    roc_auc: float
    brier: float

    def request(self, folder: Path) -> TrainingRequest:
        """Return how it is trained, into `model` in a folder, with the file of the cohort that scikit-learn has."""
        path = COHORTS / f"{self.name}.csv"
        if self == WDBC:
            path = folder / "wdbc.csv"
            load_breast_cancer(as_frame=True).frame.to_csv(path, index=False)
        own = OwnPatients(path, table(self.name))
        return TrainingRequest(folder / "model", quick=True, model_version="1", patients=own)

    def trained(self, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
        """Return the result of its training: each cohort is trained once."""
        return report_of(trained_once(tmp_path_factory, self.name, self.request))


WHAS500: Final = Cohort("whas500", 500, 138, 0.81, 0.150)
FLCHAIN: Final = Cohort("flchain", 7_679, 935, 0.82, 0.082)
WDBC: Final = Cohort("wdbc", 569, 212, 0.99, 0.025)
