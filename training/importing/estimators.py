"""Opens the file of a fitted pipeline, and finds out what it is. Only `isolated` imports this: opening runs code."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import joblib
import numpy as np
import sklearn
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from schemas.errors import ArtifactError

_ZIP: Final = b"PK\x03\x04"
"""A file of skops is a ZIP archive."""


def is_skops(content: bytes) -> bool:
    """Return whether the content of a file is skops', which MLflow writes by default."""
    return content.startswith(_ZIP)


def open_estimator(content: bytes) -> Any:
    """Open a joblib file, a pickle or a file of skops. Raises ArtifactError."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = _skops(content) if is_skops(content) else joblib.load(BytesIO(content))
        except ModuleNotFoundError as error:
            raise ArtifactError(
                f"it needs the module {error.name}, which is not installed: install it as a package, here and where "
                "the model is to be served"
            ) from error
        except Exception as error:
            raise ArtifactError(f"it cannot be opened ({type(error).__name__}: {error})") from error
    _check_version([each.message for each in caught])
    _check_methods(estimator)
    return estimator


def _skops(content: bytes) -> Any:
    from skops.io import get_untrusted_types, loads  # noqa: PLC0415  # only if needed; MLflow installs it

    return loads(content, trusted=get_untrusted_types(data=content))


def _check_version(found: Sequence[Warning | str]) -> None:
    written = {each.original_sklearn_version for each in found if isinstance(each, InconsistentVersionWarning)}
    if written:
        versions = ", ".join(sorted(map(str, written)))
        raise ArtifactError(
            f"it was written by scikit-learn {versions}, and {sklearn.__version__} is installed, which may compute "
            f"something else: import it with scikit-learn {versions} installed, or fit it again"
        )


def _check_methods(estimator: Any) -> None:
    kind = type(estimator).__name__
    if not hasattr(estimator, "predict"):
        raise ArtifactError(f"it contains a {kind}, which is not a fitted classifier or pipeline")
    if not hasattr(estimator, "predict_proba"):
        raise ArtifactError(
            f"it contains a {describe(estimator)} without predict_proba, which gives no risks: fit it inside "
            "CalibratedClassifierCV, or use a classifier of probabilities"
        )
    if getattr(estimator, "classes_", None) is None:
        raise ArtifactError(f"it contains a {kind} without classes_, which is not a fitted classifier")


def classes_of(estimator: Any) -> list[object]:
    """Return the classes of a fitted classifier, as Python values."""
    found: list[object] = np.asarray(estimator.classes_).tolist()
    return found


def names_of(estimator: Any) -> list[str] | None:
    """Return the names of the columns that a pipeline was fitted on, None for an array."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def count_of(estimator: Any) -> int | None:
    """Return the number of columns that a pipeline was fitted on, None if it does not say."""
    count = getattr(estimator, "n_features_in_", None)
    return None if count is None else int(count)


def describe(estimator: Any) -> str:
    """Return the class of an estimator, and those of a pipeline's steps."""
    name = type(estimator).__name__
    if not isinstance(estimator, Pipeline):
        return name
    return f"{name} of {', '.join(type(step).__name__ for _, step in estimator.steps)}"


def params_of(estimator: Any) -> dict[str, str | int | float | bool | None]:
    """Return the simple parameters of the classifier, without those of the steps before it."""
    classifier = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    params = classifier.get_params(deep=False) if hasattr(classifier, "get_params") else {}
    plain = {str(name): value.item() if isinstance(value, np.generic) else value for name, value in params.items()}
    return {name: value for name, value in plain.items() if isinstance(value, str | int | float | None)}
