"""The sentences of the model card that hold for every model of this program.

Sentences that depend on the data are computed in the other modules of this package.
"""

from __future__ import annotations

from typing import Final

INTENDED: Final = (
    "To demonstrate a scoring service that is honest about missing values, uncertainty and limits: for data and "
    "machine-learning engineers who build such services, and for clinicians and students who assess their output."
)
DECISIONS: Final = "decisions about a patient's diagnosis, tests or treatment"
OTHER_OUTCOMES: Final = "other outcomes, and other times than that of the outcome"
PREPARED: Final = "Values that mean “not measured” count as missing. All preprocessing is fitted inside each fold."
DELETED: Final = (
    "The fields were deleted from the records of all training patients. In practice, a test is omitted for a clinical "
    "reason that the model does not know."
)
FEW: Final = "Metrics that depend on an outcome with fewer than 20 patients are not estimated."
COUNTED: Final = (
    "Sensitivity and specificity are counts, with Wilson's 95% interval, which is wide for a group of few patients. "
    "The bias is estimated from 20 patients."
)
RECALIBRATION: Final = (
    "Compare risks with the outcomes of at least 100 local patients, and adapt the model as far as they support: "
    "recalibrated, or refitted (heartstream adapt). Until then, do not read a risk as a probability for local patients."
)
REGULATION: Final = (
    "Whether software like this is a medical device depends on its intended use (EU MDR rule 11; FDA, Clinical "
    "Decision Support Software, 2026)."
)
