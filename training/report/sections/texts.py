"""What the model card says of any model of this program.

What depends on the data is computed: who the patients are in `card_population`, what is wrong in `card_defects`, the
judgement in `card_assessment`.
"""

from __future__ import annotations

from typing import Final

INTENDED: Final = (
    "To show a scoring service that is honest about missing values, uncertainty and limits: for data and "
    "machine-learning engineers who build such services, and for clinicians and students who judge what they say."
)
OUT_OF_SCOPE: Final = (
    "decisions about a patient's diagnosis, tests or treatment",
    "other outcomes, such as infarction or death, and any time ahead: the outcome was seen at the time of the tests",
    "records in the coding of Kaggle's copy of UCI Heart Disease, which means other things by the same codes",
)
PREPARED: Final = (
    "Values that mean “not measured” (0 for pressure, cholesterol and heart rate; -9) count as missing. Everything "
    "that learns, scaling included, is fitted inside each fold."
)
DELETED: Final = (
    "The fields were deleted from the records of all training patients alike. In practice a test is left out for a "
    "reason, which the model does not know."
)
FEW: Final = "Where fewer than 20 patients have an outcome, what rests on them is not estimated."
COUNTED: Final = (
    "Sensitivity and specificity are counts, with Wilson's 95% interval: a group of a few patients proves little, and "
    "its interval shows how little. The bias is given from 20 patients on."
)
RECALIBRATION: Final = (
    "Compare risks with outcomes of at least 100 local patients, and shift the intercept as far as is certain "
    "(heartstream model recalibrate). Without that, do not read the risk as a share of local patients."
)
REGULATION: Final = (
    "Whether software like this is a medical device is decided by what it is used for (EU MDR rule 11; FDA, Clinical "
    "Decision Support Software, 2026)."
)
