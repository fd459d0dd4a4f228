"""The best model is chosen by a rule, not by luck."""

from __future__ import annotations

from math import sqrt

import numpy as np

from scoring.artifact import Metric
from training.choose import choose
from training.evaluate import FOLDS, Evaluation
from training.run import TrainingReport


def with_log_loss(name: str, mean: float, std: float) -> Evaluation:
    """Return an evaluation with this log loss over the folds."""
    return Evaluation(name, {"log_loss": Metric(mean, std)}, np.array([0.5]), 1.0)


def test_simplest_within_one_standard_error_wins() -> None:
    """A lower log loss that the folds cannot tell apart does not win over a simpler model."""
    error = 0.05 / sqrt(FOLDS)
    evaluations = [with_log_loss("simple", 0.40 + 0.99 * error, 0.01), with_log_loss("complex", 0.40, 0.05)]
    assert choose(evaluations).best == "simple"


def test_clearly_lower_log_loss_wins() -> None:
    """Beyond one standard error of the lowest, simplicity does not count."""
    error = 0.05 / sqrt(FOLDS)
    evaluations = [with_log_loss("simple", 0.40 + 1.01 * error, 0.9), with_log_loss("complex", 0.40, 0.05)]
    assert choose(evaluations).best == "complex"


def test_reason_says_which_part_of_the_rule_decided() -> None:
    """The sentence names the figures that were compared."""
    close = choose([with_log_loss("simple", 0.41, 0.05), with_log_loss("complex", 0.40, 0.05)])
    assert (
        close.reason == "it is the simplest whose log loss (0.410) is within one standard error of the lowest (0.400)"
    )
    assert choose([with_log_loss("simple", 0.39, 0.05)]).reason == "it has the lowest log loss (0.390)"


def test_logistic_regression_is_best_on_this_data(report: TrainingReport) -> None:
    """The run's choice stands in its manifest."""
    assert (report.choice.best, report.manifest.best) == ("logistic_regression", "logistic_regression")
