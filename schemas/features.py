"""The feature table: the 13 predictors of UCI Heart Disease, their units, codes, limits and common mistakes.

Everything else about a field (validation, JSON Schema, training columns, warnings) is derived from this one table.
Sources: the UCI data dictionary (heart-disease.names); reject limits are wide engineering choices; warn limits are the
smallest and largest values recorded at the four hospitals.
"""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

FEATURE_TABLE_VERSION = "uci-heart-1988/1"
TARGET_DEFINITION = "num > 0: at least 50% diameter narrowing in any major vessel at angiography"


class Kind(StrEnum):
    """How a field's number is interpreted."""

    QUANTITY = "quantity"
    """A measurement on a scale, within limits."""
    CODE = "code"
    """A label from a closed set."""


class Hint(msgspec.Struct, frozen=True):
    """A range of values that are common mistakes, and how to fix them.

    `foreign`: other codings of this data use these values (`schemas.codings`).
    """

    lowest: float
    highest: float
    text: str = ""
    foreign: bool = False

    def matches(self, value: float) -> bool:
        """Return whether `value` is in this hint's closed interval."""
        return self.lowest <= value <= self.highest

    def is_foreign(self, value: float, kind: Kind) -> bool:
        """Return whether `value` indicates another coding; codes are whole numbers in all of them."""
        return self.foreign and self.matches(value) and (kind is Kind.QUANTITY or value == math.floor(value))


class Feature(msgspec.Struct, frozen=True):
    """One predictor.

    `limits` is the closed interval outside of which a quantity is rejected, in `unit`. `support` is the range recorded
    at the four hospitals. `codes` maps each valid code to its meaning. `missing` are numbers that mean "not measured",
    as JSON null does. A `required` field may not be missing. `aliases` are other names of the field, and `texts` the
    words for its codes, in tabular files; case, and all characters except letters and digits, are ignored.
    """

    name: str
    meaning: str
    kind: Kind
    unit: str | None = None
    whole: bool = True
    limits: tuple[float, float] | None = None
    support: tuple[float, float] | None = None
    codes: tuple[tuple[int, str], ...] = ()
    missing: tuple[int, ...] = ()
    required: bool = False
    hints: tuple[Hint, ...] = ()
    aliases: tuple[str, ...] = ()
    texts: tuple[tuple[int, tuple[str, ...]], ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest closed interval that contains all valid values."""
        if self.limits is not None:
            return self.limits
        return float(self.codes[0][0]), float(self.codes[-1][0])

    @property
    def gaps(self) -> tuple[int, ...]:
        """Whole numbers inside `interval` that are not valid codes."""
        if not self.codes:
            return ()
        legal = {code for code, _ in self.codes}
        return tuple(code for code in range(self.codes[0][0], self.codes[-1][0]) if code not in legal)


_YES_NO = ((0, "no"), (1, "yes"))
_TRUE_FALSE = ((0, ("no", "n", "false", "f")), (1, ("yes", "y", "true", "t")))
_KEEL = "KEEL's copy drops the decimal point of oldpeak, which cannot be undone: use another copy"

FEATURES: tuple[Feature, ...] = (
    Feature(
        "age",
        "age at test",
        Kind.QUANTITY,
        "years",
        limits=(18, 110),
        support=(28, 77),
        required=True,
        aliases=("age years", "age in years"),
    ),
    Feature(
        "sex",
        "sex as recorded",
        Kind.CODE,
        codes=((0, "female"), (1, "male")),
        required=True,
        texts=((0, ("female", "f")), (1, ("male", "m"))),
    ),
    Feature(
        "cp",
        "chest pain type",
        Kind.CODE,
        codes=((1, "typical angina"), (2, "atypical angina"), (3, "non-anginal pain"), (4, "asymptomatic")),
        required=True,
        hints=(Hint(0, 0, foreign=True),),
        aliases=("chest pain", "chest pain type"),
        texts=(
            (1, ("typical angina", "typical", "ta")),
            (2, ("atypical angina", "atypical", "ata")),
            (3, ("non-anginal pain", "non-anginal", "nap")),
            (4, ("asymptomatic", "asy")),
        ),
    ),
    Feature(
        "trestbps",
        "resting systolic blood pressure at admission",
        Kind.QUANTITY,
        "mm Hg",
        limits=(50, 300),
        support=(80, 200),
        missing=(0, -9),
        aliases=("trtbps", "resting bp", "resting bp s", "resting blood pressure"),
    ),
    Feature(
        "chol",
        "serum cholesterol",
        Kind.QUANTITY,
        "mg/dL",
        limits=(40, 1000),
        support=(85, 603),
        missing=(0, -9),
        hints=(Hint(1, 25, "this looks like mmol/L: multiply by 38.67"),),
        aliases=("cholesterol", "serum cholesterol"),
    ),
    Feature(
        "fbs",
        "fasting blood sugar > 120 mg/dL",
        Kind.CODE,
        codes=_YES_NO,
        missing=(-9,),
        hints=(Hint(2, 2000, "this looks like a raw glucose value: send 1 if it is over 120 mg/dL, else 0"),),
        aliases=("fasting bs", "fasting blood sugar"),
        texts=_TRUE_FALSE,
    ),
    Feature(
        "restecg",
        "resting electrocardiogram",
        Kind.CODE,
        codes=(
            (0, "normal"),
            (1, "ST-T abnormality"),
            (2, "probable or definite left ventricular hypertrophy (Estes)"),
        ),
        missing=(-9,),
        aliases=("resting ecg",),
        texts=(
            (0, ("normal",)),
            (1, ("st-t abnormality", "st-t wave abnormality", "st")),
            (2, ("lv hypertrophy", "left ventricular hypertrophy", "lvh")),
        ),
    ),
    Feature(
        "thalach",
        "maximum heart rate achieved in exercise test",
        Kind.QUANTITY,
        "beats/min",
        limits=(40, 250),
        support=(60, 202),
        missing=(0, -9),
        aliases=("thalch", "thalachh", "max hr", "max heart rate", "maximum heart rate"),
    ),
    Feature(
        "exang",
        "exercise-induced angina",
        Kind.CODE,
        codes=_YES_NO,
        missing=(-9,),
        aliases=("exng", "exercise angina", "exercise induced angina"),
        texts=_TRUE_FALSE,
    ),
    Feature(
        "oldpeak",
        "ST depression induced by exercise relative to rest (negative: elevation)",
        Kind.QUANTITY,
        "mm (0.1 mV)",
        whole=False,
        limits=(-5, 10),
        support=(-2.6, 6.2),
        missing=(-9,),
        hints=(Hint(10.0000001, 100, _KEEL, foreign=True),),
        aliases=("st depression",),
    ),
    Feature(
        "slope",
        "slope of the peak exercise ST segment",
        Kind.CODE,
        codes=((1, "upsloping"), (2, "flat"), (3, "downsloping")),
        missing=(-9,),
        hints=(Hint(0, 0, foreign=True),),
        aliases=("slp", "st slope"),
        texts=((1, ("upsloping", "up")), (2, ("flat",)), (3, ("downsloping", "down"))),
    ),
    Feature(
        "ca",
        "major vessels coloured by fluoroscopy",
        Kind.CODE,
        "count",
        codes=((0, "none"), (1, "one"), (2, "two"), (3, "three")),
        missing=(-9,),
        hints=(
            Hint(4, 4, foreign=True),
            Hint(9, 9, "9 is the raw files' code for missing: send null"),
        ),
        aliases=("caa", "number of major vessels", "num major vessels"),
    ),
    Feature(
        "thal",
        "exercise thallium scintigraphy result (not thalassaemia)",
        Kind.CODE,
        codes=((3, "normal"), (6, "fixed defect"), (7, "reversible defect")),
        missing=(-9,),
        hints=(Hint(0, 2, foreign=True),),
        aliases=("thall", "thallium"),
        texts=((3, ("normal",)), (6, ("fixed defect",)), (7, ("reversible defect", "reversable defect"))),
    ),
)

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
