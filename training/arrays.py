"""Array types: feature matrices, labels and risks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


Risks = npt.NDArray[np.float64]
