"""scikit-learn's own objects: the fallback for models without a fast engine. The only module that unpickles.

Unpickling runs code. It is only done with verified bytes, and only when such a model is served or compared: until then
scikit-learn is not imported, which would cost a process a second and 60 MB.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import msgspec

from schemas.errors import ArtifactError
from schemas.extras import install_command


class Fitted(msgspec.Struct, frozen=True):
    """A fitted preprocessor, (n, fields) to (n, columns), and the classifier that uses its output."""

    preprocessor: Any
    classifier: Any


class Pickle(msgspec.Struct, frozen=True):
    """The verified content of a joblib file, not loaded yet."""

    name: str
    content: bytes


def unpickled(preprocessor: Pickle, classifier: Pickle, trained_with: str | None) -> Fitted:
    """Load both files with the scikit-learn that wrote them, `trained_with`.

    Blocks for about a second. Raises ArtifactError if that scikit-learn is not installed, or if an object needs
    code that is not installed.
    """
    try:
        import joblib  # noqa: PLC0415  # not in the image of a worker
        import sklearn  # noqa: PLC0415  # the same
    except ImportError as error:
        raise ArtifactError(f"{error.name} is not installed: {install_command('sklearn')}") from error
    if trained_with != sklearn.__version__:
        raise ArtifactError(f"trained with scikit-learn {trained_with}, but {sklearn.__version__} is installed")
    opened = []
    for pickle in (preprocessor, classifier):
        try:
            opened.append(joblib.load(BytesIO(pickle.content)))
        except Exception as error:
            raise ArtifactError(f"{pickle.name}: cannot be loaded ({type(error).__name__}: {error})") from error
    return Fitted(*opened)
