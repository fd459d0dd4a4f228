"""What an imported pipeline gets in place of a matrix: columns in its own order and names, texts as texts.

Imported models contain an instance as their preprocessor. pandas is imported only for a pipeline that was fitted on a
data frame and is served by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np

from scoring.features import Matrix

_NO_TEXT: str = ""


class PipelineInput(msgspec.Struct, frozen=True):
    """The columns of a pipeline, and the index of the positive class in its probabilities.

    `fields` (columns,) are the positions of its columns in the matrix. `names` (columns,) are their names, empty for a
    pipeline that was fitted on an array. `labels` (columns,) are the texts of a column whose codes are texts, else
    empty.
    """

    fields: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    positive: int

    def transform(self, matrix: Matrix) -> Any:
        """Return the input of `predict_proba` for valid records (n, fields): a data frame, or an array (n, columns)."""
        if not self.names:
            return matrix.take(self.fields, axis=1)
        import pandas as pd  # noqa: PLC0415  # see above

        columns = zip(self.names, self.fields, self.labels, strict=True)
        return pd.DataFrame(
            {name: _texts(matrix[:, j], labels, np.nan) if labels else matrix[:, j] for name, j, labels in columns}
        )

    def tensors(self, matrix: Matrix, inputs: Collection[str]) -> dict[str, Any]:
        """Return what the pipeline in ONNX gets: its only input (n, columns), or `inputs` by column, each (n, 1)."""
        if len(inputs) == 1 and not any(self.labels):
            return dict.fromkeys(inputs, matrix.take(self.fields, axis=1))
        columns = zip(self.names, self.fields, self.labels, strict=True)
        return {
            name: (_texts(matrix[:, j], labels, _NO_TEXT) if labels else matrix[:, j])[:, None]
            for name, j, labels in columns
            if name in inputs
        }


def _texts(codes: Matrix, labels: tuple[str, ...], missing: object) -> Any:
    """Return the text (n,) of each position in `labels`, `missing` for NaN."""
    texts = np.array([*labels, missing], dtype=np.object_)
    return texts[np.where(np.isnan(codes), len(labels), codes).astype(np.intp)]
