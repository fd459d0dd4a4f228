"""Which model is best, by a rule that was written down before the results were seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import msgspec

from training.evaluate import FOLDS, Evaluation


class Choice(msgspec.Struct, frozen=True):
    """The best model's name, and a sentence that says why."""

    best: str
    reason: str


def choose(evaluations: Sequence[Evaluation]) -> Choice:
    """Take the simplest model whose log loss is within one standard error of the lowest.

    `evaluations` is simplest first. Log loss, because the product is a risk and not a label. One standard error,
    because the folds cannot tell closer models apart: the order of two such models turns with the seed.
    """
    lowest = min(evaluations, key=lambda evaluation: evaluation.metrics["log_loss"].mean)
    figure = lowest.metrics["log_loss"]
    limit = figure.mean + figure.std / sqrt(FOLDS)
    chosen = next(evaluation for evaluation in evaluations if evaluation.metrics["log_loss"].mean <= limit)
    if chosen.name == lowest.name:
        return Choice(chosen.name, f"it has the lowest log loss ({figure.mean:.3f})")
    mean = chosen.metrics["log_loss"].mean
    reason = (
        f"it is the simplest whose log loss ({mean:.3f}) is within one standard error of the lowest ({figure.mean:.3f})"
    )
    return Choice(chosen.name, reason)
