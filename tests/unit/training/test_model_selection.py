"""The best model is selected by a rule, not by chance."""

from __future__ import annotations

from training.evaluation.model_selection import SLOPE_TOLERANCE, SelectionCriteria, select
from training.pipeline import TrainingResult


def test_simplest_within_one_standard_error_wins() -> None:
    """A lower log loss within chance does not win over a simpler model."""
    standings = [SelectionCriteria("simple", 0.40 + 0.019, 0.01, 0.1), SelectionCriteria("complex", 0.40, 0.02, 0.1)]
    assert select(standings).best == "simple"


def test_clearly_lower_log_loss_wins() -> None:
    """Beyond one standard error neither simplicity nor calibration counts."""
    standings = [SelectionCriteria("simple", 0.40 + 0.021, 0.9, 0.0), SelectionCriteria("complex", 0.40, 0.02, 0.5)]
    assert select(standings).best == "complex"


def test_calibration_goes_before_simplicity() -> None:
    """A simpler model that is clearly less calibrated with missing fields does not win."""
    distances = [0.1 + SLOPE_TOLERANCE + 0.01, 0.1]
    standings = [
        SelectionCriteria(name, 0.40, 0.02, far) for name, far in zip(("simple", "complex"), distances, strict=True)
    ]
    assert select(standings).best == "complex"


def test_small_differences_of_calibration_do_not_count() -> None:
    """Within the tolerance the simpler model wins."""
    distances = [0.1 + SLOPE_TOLERANCE - 0.01, 0.1]
    standings = [
        SelectionCriteria(name, 0.40, 0.02, far) for name, far in zip(("simple", "complex"), distances, strict=True)
    ]
    assert select(standings).best == "simple"


def test_reason_says_which_part_of_the_rule_decided() -> None:
    """The sentence has the compared figures."""
    standings = [
        SelectionCriteria("a", 0.41, 0.02, 0.3),
        SelectionCriteria("b", 0.40, 0.02, 0.1),
        SelectionCriteria("c", 0.405, 0.02, 0.12),
    ]
    assert select(standings).reason == (
        "log loss 0.400, within 0.020 of the lowest (0.400); a calibration slope that is 0.10 from 1 on average over "
        "missing fields (a 0.30); the simplest of 2 that the data cannot distinguish"
    )


def test_submodels_are_best_on_this_data(report: TrainingResult) -> None:
    """They rank as well as any model and are calibrated with the fields that other hospitals lack."""
    assert (report.selection.best, report.manifest.best) == ("pattern_submodels", "pattern_submodels")
