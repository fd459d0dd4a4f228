"""The candidates: the classifiers that are trained, simplest first, and access to their fitted parts.

C and the rows of a leaf were chosen by mean log loss over ten 5-fold cross-validations (seeds 42 to 51) of the 303
Cleveland rows. C of 0.03, 0.1, 0.2, 0.3, 0.5, 1 and 3 gave .423, .383, .376, .375, .377, .382 and .392; leaves of 1, 2,
3, 5 and 8 rows gave .402, .397, .398, .403 and .412. The boosted trees were chosen from 30 combinations over the seeds
42 to 46: 100 trees of 4 leaves at a rate of .05 gave .391, the others .392 to .437. A training run evaluates the same
rows, so its results are slightly optimistic; the optimum is flat, so the bias is small.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from scoring.compiled_table import CompiledTable
from scoring.estimators import GradientBoosting, new_preprocessor
from scoring.submodels import PatternSubmodels
from training.arrays import Matrix

LOGISTIC_REGRESSION: Final = "logistic_regression"
RANDOM_FOREST: Final = "random_forest"
PATTERN_SUBMODELS: Final = "pattern_submodels"
GRADIENT_BOOSTING: Final = "gradient_boosting"

INVERSE_PENALTY: Final = 0.3
"""C of the logistic regression. The calibration slope was 1.06, and 0.89 at scikit-learn's C of 1."""
LOCAL_INVERSE_PENALTY: Final = 0.5
"""C of a refit on a hospital's own patients, who are often fewer; see decision 64."""
TREES: Final = 200
"""100, 150, 200 and 300 trees perform equally (log loss .392 to .395); 200 score 1,000 records in under 10 ms."""
ROWS_PER_LEAF: Final = 3
BOOSTED_TREES: Final = 100
LEARNING_RATE: Final = 0.05
LEAVES: Final = 4


class Candidate(msgspec.Struct, frozen=True):
    """A kind of classifier; `new` takes a table and a seed, and returns an unfitted one for preprocessed rows."""

    name: str
    new: Callable[[CompiledTable, int], Any]


def new_logistic_regression(_compiled: CompiledTable, seed: int, inverse_penalty: float = INVERSE_PENALTY) -> Pipeline:
    """Return an unfitted logistic regression. Its solver is deterministic and ignores `seed`."""
    return _after_averages(
        LogisticRegression(C=inverse_penalty, solver="newton-cholesky", max_iter=1000, tol=1e-10, random_state=seed)
    )


def new_pattern_submodels(
    compiled: CompiledTable, _seed: int, inverse_penalty: float = INVERSE_PENALTY
) -> PatternSubmodels:
    """Return unfitted pattern sub-models, with the penalty of the logistic regression. They are deterministic."""
    return PatternSubmodels(compiled.pattern_columns, C=inverse_penalty)


def new_random_forest(_compiled: CompiledTable, seed: int) -> Pipeline:
    """Return an unfitted forest. It is single-threaded: the same trees each time, and no thread pool when scoring."""
    return _after_averages(
        RandomForestClassifier(n_estimators=TREES, min_samples_leaf=ROWS_PER_LEAF, random_state=seed, n_jobs=1)
    )


def new_gradient_boosting(_compiled: CompiledTable, seed: int) -> GradientBoosting:
    """Return unfitted boosted trees, which take missing values as they are."""
    return GradientBoosting(
        learning_rate=LEARNING_RATE,
        max_iter=BOOSTED_TREES,
        max_leaf_nodes=LEAVES,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )


def _after_averages(classifier: Any) -> Pipeline:
    """Put mean imputation before a classifier that cannot handle missing values.

    For one-hot columns the mean is the share of each code. The mode would impute "normal" for a test that was not done,
    and badly understate the risk.
    """
    return Pipeline([("average", SimpleImputer(strategy="mean", keep_empty_features=True)), ("classify", classifier)])


CANDIDATES: Final = (
    Candidate(LOGISTIC_REGRESSION, new_logistic_regression),
    Candidate(PATTERN_SUBMODELS, new_pattern_submodels),
    Candidate(RANDOM_FOREST, new_random_forest),
    Candidate(GRADIENT_BOOSTING, new_gradient_boosting),
)
"""Simplest first: the order decides between models that the data cannot distinguish."""


def local_candidate(classifier: Any) -> Candidate:
    """Return the candidate of a linear classifier's kind that is fitted on a hospital's own patients."""
    if isinstance(classifier, PatternSubmodels):
        return Candidate(PATTERN_SUBMODELS, partial(new_pattern_submodels, inverse_penalty=LOCAL_INVERSE_PENALTY))
    return Candidate(LOGISTIC_REGRESSION, partial(new_logistic_regression, inverse_penalty=LOCAL_INVERSE_PENALTY))


def new_pipeline(classifier: Any, compiled: CompiledTable) -> Pipeline:
    """Return preprocessor and classifier as one estimator, so that both are fitted on the same rows."""
    return Pipeline([("preprocess", new_preprocessor(compiled.columns)), ("classify", classifier)])


def center_of(classifier: Any) -> Matrix | None:
    """Return the mean of the training rows (columns,) of a classifier that a fast engine supports, else None.

    It is NaN for boosted trees, which need no mean in place of a missing value.
    """
    if isinstance(classifier, GradientBoosting):
        return np.full(classifier.n_features_in_, np.nan)
    if isinstance(classifier, PatternSubmodels):
        center: Matrix = classifier.center_
        return center
    if isinstance(classifier, Pipeline) and [name for name, _ in classifier.steps] == ["average", "classify"]:
        average, inner = classifier["average"], classifier["classify"]
        if isinstance(inner, LogisticRegression | RandomForestClassifier):
            averages: Matrix = average.statistics_
            return averages
    return None


def trees_of(classifier: Any) -> RandomForestClassifier | GradientBoosting | None:
    """Return the forest or the boosted trees of a classifier, None for another kind."""
    inner = classifier["classify"] if isinstance(classifier, Pipeline) else classifier
    return inner if isinstance(inner, RandomForestClassifier | GradientBoosting) else None


class MissingValues(StrEnum):
    """What a classifier does with missing values."""

    AVERAGED = "mean imputation"
    SUBMODELS = "sub-models"
    SPLIT = "trees whose splits take missing values"


def missing_values_of(classifier: Any) -> MissingValues:
    """Return what a classifier does with missing values."""
    if isinstance(classifier, PatternSubmodels):
        return MissingValues.SUBMODELS
    return MissingValues.SPLIT if isinstance(classifier, GradientBoosting) else MissingValues.AVERAGED


def is_linear(classifier: Any) -> bool:
    """Return whether a classifier consists of one logistic regression, or one for each pattern."""
    return isinstance(classifier, PatternSubmodels) or (
        isinstance(classifier, Pipeline) and isinstance(classifier["classify"], LogisticRegression)
    )


def linear_of(classifier: Any) -> tuple[Matrix, Matrix]:
    """Return intercepts (models,) and coefficients (models, columns) of a linear classifier over centered columns."""
    if isinstance(classifier, PatternSubmodels):
        return classifier.intercept_, classifier.coef_
    coefficients: Matrix = classifier["classify"].coef_
    return classifier["classify"].intercept_ + coefficients @ classifier["average"].statistics_, coefficients


def feature_covariance_of(classifier: Any) -> Matrix | None:
    """Return the covariance (columns, columns) of sub-models that do not list every missing pattern, else None."""
    covariance: Matrix | None = getattr(classifier, "covariance_", None)
    return covariance


def penalty_of(classifier: Any) -> float:
    """Return the L2 penalty of a linear classifier: the inverse of C."""
    return 1 / (classifier.C if isinstance(classifier, PatternSubmodels) else classifier["classify"].C)
