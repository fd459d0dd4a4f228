"""Portable models equal the fitted model, and only known kinds of models have one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler

from scoring.model_artifact import load
from scoring.portable_model import PortableModel
from scoring.reference_cases import reference_cases, sha256_of
from tests.support.uci import UCI, UNKNOWN
from training.data.frames import features, target
from training.export.portable_model import new_portable_model, plan_of


@pytest.mark.parametrize("name", ["logistic_regression", "pattern_submodels", "random_forest"])
def test_reference_risks_are_scikit_learns(model_dir: Path, name: str) -> None:
    """The file has the fitted pipeline's risks of the reference cases to the last bit."""
    artifact = load(model_dir, name)
    assert artifact.plain is not None
    plain, fitted = PortableModel.from_json(artifact.plain), artifact.fitted()
    expected = fitted.classifier.predict_proba(fitted.preprocessor.transform(reference_cases(UCI.table)))[:, 1]
    np.testing.assert_array_equal(expected, plain.reference_risks)
    assert sha256_of(reference_cases(UCI.table)) == plain.reference_cases_sha256


def test_coefficients_are_the_fitted_ones(model_dir: Path) -> None:
    """The regression's 22 coefficients to the last bit, and the log-odds of the average patient."""
    artifact = load(model_dir, "logistic_regression")
    assert artifact.plain is not None
    linear, classifier = PortableModel.from_json(artifact.plain).linear, artifact.fitted().classifier
    assert linear is not None
    np.testing.assert_array_equal(classifier["classify"].coef_, linear.coefficients)
    average = classifier["classify"].decision_function(classifier["average"].statistics_[None])
    np.testing.assert_allclose(average, linear.intercepts, rtol=0, atol=1e-12)


def test_unknown_classifier_has_no_portable_model(model_dir: Path, cleveland: pd.DataFrame) -> None:
    """A kind of classifier that no fast engine knows gets no file."""
    preprocessor = load(model_dir).fitted().preprocessor
    inputs = preprocessor.transform(features(cleveland))
    classifier = HistGradientBoostingClassifier(max_iter=3).fit(inputs, target(cleveland))
    assert new_portable_model(preprocessor, classifier, UNKNOWN, UCI) is None


def test_unknown_preprocessor_is_refused() -> None:
    """Another form of preprocessor is not read as the known one."""
    scaler = StandardScaler().fit(np.eye(13))
    with pytest.raises(TypeError, match="the preprocessor is not a ColumnTransformer"):
        plan_of(scaler, UCI.columns)


def test_unknown_preprocessing_steps_are_refused(model_dir: Path, cleveland: pd.DataFrame) -> None:
    """A ColumnTransformer with other step names is not read as the known one."""
    preprocessor = load(model_dir).fitted().preprocessor
    renamed = type(preprocessor)([(f"{name}_2", step, at) for name, step, at in preprocessor.transformers])
    with pytest.raises(TypeError, match="other steps than scaled, binary and one_hot"):
        plan_of(renamed.fit(features(cleveland)), UCI.columns)
