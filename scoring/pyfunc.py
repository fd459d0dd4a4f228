"""The model directory as MLflow's `pyfunc` loads it: the same risks as every interface, for data frames.

MLflow calls `_load_pyfunc`; it is not imported here. The frame's columns are the fields, as numbers, or texts where
codes are texts; NaN is missing. A column `coding` names the coding of each row; where it is missing, the row is in the
table's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scoring.scorer import Scorer


class RiskModel:
    """Scores data frames with one of a model directory's models."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002  # MLflow's signature
        """Return a frame with `risk`, and `low` and `high` of its 90% interval (NaN where the model has none).

        Raises ValueError with the number of invalid rows or unknown codings, without any value.
        """
        table, rules = self._scorer.compiled.table, self._scorer.compiled.matrix
        matrix = rules.from_columns({name: model_input[name].to_numpy() for name in table.names})
        rules.blank_missing(matrix)
        if "coding" in model_input:
            codings = dict(enumerate(model_input["coding"].fillna(table.own_coding)))
            if count := sum(name not in table.coding_by_name for name in codings.values()):
                raise ValueError(f"{count} of {len(codings)} rows have an unknown coding: coding {table.codings_text}")
            rules.convert_rows(matrix, codings)
        illegal = np.flatnonzero(~rules.legal_rows(matrix))
        if len(illegal):
            raise ValueError(
                f"{len(illegal)} of {len(matrix)} rows are not valid patient records; the first is row {illegal[0]}"
            )
        found = self._scorer.explain(matrix)
        unknown = np.full(len(matrix), np.nan)
        low, high = self._scorer.intervals(matrix, found) or (unknown, unknown)
        return model_input[[]].assign(risk=found.risks, low=low, high=high)


def _load_pyfunc(path: str, model_config: Mapping[str, str] | None = None) -> RiskModel:
    """Load and verify a model directory; `model_config` may contain the model's `name`. Raises ArtifactError."""
    return RiskModel(Scorer.from_directory(Path(path), (model_config or {}).get("name")))
