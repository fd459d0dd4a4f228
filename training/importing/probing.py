"""Finds out how a fitted pipeline behaves: which fields it cannot do without, and whether its risks are usable.

Tried on the reference cases of the feature table, which are not patients. Only `isolated` imports this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.features import Matrix
from scoring.pipeline_input import PipelineInput
from training.arrays import Risks

_ALONE: Final = 16
"""Rows that are scored one by one, and for each field with a missing value."""
_EXCHANGED: Final = 1000
"""Rows between which values are exchanged."""
_BATCH_TOLERANCE: Final = 1e-12
"""Risks have six decimals: a larger difference would change the bytes of some scores."""
_CLASSES: Final = 2


class Probe:
    """A fitted pipeline, and its risks of rows of a matrix."""

    def __init__(self, estimator: Any, pipeline: PipelineInput, compiled: CompiledTable) -> None:
        self._estimator, self._pipeline, self._table = estimator, pipeline, compiled.table
        self._cases = compiled.reference_cases
        self._complete = _without_gaps(self._cases)

    def risks(self, matrix: Matrix) -> Risks:
        """Return the risks (n,) of valid records (n, fields). Raises whatever the pipeline raises, or ArtifactError."""
        found = np.asarray(self._estimator.predict_proba(self._pipeline.transform(matrix)), dtype=np.float64)
        if found.shape != (len(matrix), _CLASSES):
            raise ArtifactError(f"predict_proba returns {found.shape} for {len(matrix)} rows and two classes")
        risks: Risks = found[:, self._pipeline.positive]
        if not ((risks >= 0) & (risks <= 1)).all():
            raise ArtifactError("predict_proba returns numbers outside 0 to 1")
        return risks

    def check(self) -> Risks:
        """Return the risks of the reference cases (1024,). Raises ArtifactError if the pipeline cannot be served."""
        try:
            risks = self.risks(self._complete)
        except Exception as error:
            texts = [feature.name for feature in self._table.features if feature.labels]
            given = f"texts for {', '.join(texts)}, and numbers for the other fields" if texts else "numbers"
            raise ArtifactError(
                f"the pipeline cannot score valid records ({_first_line(error)}); it gets {given}"
            ) from error
        if needed := [self._table.names[j] for j in self._table.optional if self._fails_without(j)]:
            raise ArtifactError(
                f"the pipeline fails where {' or '.join(needed)} is missing: set required = true for these fields in "
                "the table, or fit the pipeline with an imputer"
            )
        if depends_on_batch(self.risks, self._complete, risks):
            raise ArtifactError(
                "the risk of a record depends on the other records of the batch, or on chance: a score could not be "
                "reproduced"
            )
        try:
            return self.risks(self._cases)
        except Exception as error:
            raise ArtifactError(
                f"the pipeline fails where several fields are missing ({_first_line(error)})"
            ) from error

    def _fails_without(self, place: int) -> bool:
        rows = self._complete[:_ALONE].copy()
        rows[:, place] = np.nan
        try:
            self.risks(rows)
        except Exception:  # noqa: BLE001  # whatever a pipeline raises
            return True
        return False

    def unused_fields(self, matrix: Matrix) -> tuple[str, ...]:
        """Return the fields that change no risk where they are exchanged between the first of these rows (n, fields).

        A field with one value in all of them is none of these. Far from real patients, as reference
        cases are, most risks are 0 or 1, and do not change.
        """
        some = matrix[:_EXCHANGED]
        before = self.risks(some)
        varying = [place for place in range(some.shape[1]) if len(np.unique(some[:, place])) > 1]
        return tuple(self._table.names[place] for place in varying if not self._changes(some, place, before))

    def _changes(self, matrix: Matrix, place: int, before: Risks) -> bool:
        rows = matrix.copy()
        rows[:, place] = np.roll(rows[:, place], 1)
        return bool((self.risks(rows) != before).any())


def depends_on_batch(score: Callable[[Matrix], Risks], matrix: Matrix, risks: Risks) -> bool:
    """Return whether the first rows (n, fields) get other risks alone than in their batch, which got `risks` (n,)."""
    alone = np.concatenate([score(matrix[[row]]) for row in range(_ALONE)])
    return bool(np.abs(alone - risks[:_ALONE]).max() > _BATCH_TOLERANCE)


def _without_gaps(cases: Matrix) -> Matrix:
    """Return the cases with each missing value replaced by one of the same field."""
    complete = cases.copy()
    for column in complete.T:
        missing = np.isnan(column)
        column[missing] = np.resize(column[~missing], int(missing.sum()))
    return complete


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
