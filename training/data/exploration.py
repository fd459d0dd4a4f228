"""Exploratory analysis of the data: counts, prevalences, associations and dataset shift.

Every function takes frames as `training.data.frames` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2_contingency, spearmanr

from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import Feature
from training.data.dataset import SITES, snapshot_rows
from training.data.frames import TRAINING_SITE, target
from training.data.population import HOSPITALS
from training.estimates import MIN_PATIENTS, Estimate, wilson_interval

SITE_NAMES: Final = {site: hospital.name for site, hospital in HOSPITALS.items()}
"""Names of the snapshot's hospitals. `training.data.population.hospital_name` names the files of users."""
NUMERIC_FIELDS: Final = ("age", "trestbps", "chol", "thalach", "oldpeak")
CODED_FIELDS: Final = ("sex", "cp", "fbs", "restecg", "exang", "slope", "ca", "thal")
HIGHLIGHTED_FIELDS: Final = ("cp", "thalach", "oldpeak")
"""The fields that most descriptions of this data highlight."""
_PSI_BINS: Final = 10
_FLOOR: Final = 0.5
"""The count of an empty bin, whose share needs a logarithm."""


def severity_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Count patients by hospital (rows) and `num` (columns 0 to 4); Budapest's file has only 0 and 1."""
    return pd.crosstab(frame["site"], frame["num"]).reindex(list(SITES)).fillna(0).astype(int)


def missing_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the share of patients without a value, by hospital (rows) and field; codes for "missing" count as such."""
    shares: pd.DataFrame = frame[list(UCI_HEART.names)].isna().groupby(frame["site"]).mean().reindex(list(SITES))
    return shares


def zero_cholesterol() -> dict[str, int]:
    """Count the patients whose cholesterol is 0 in UCI's files, by hospital."""
    place = 1 + UCI_HEART.names.index("chol")
    rows = snapshot_rows()
    return {site: sum(row[0] == site and row[place] == "0" for row in rows) for site in SITES}


def prevalence(frame: pd.DataFrame, name: str) -> Iterator[tuple[str, int, Estimate]]:
    """Yield the code with its meaning, its number of patients, and their prevalence, for each code of a field."""
    labels = target(frame)
    for code, meaning in _feature(name).codes:
        chosen = (frame[name] == code).to_numpy()
        if chosen.any():
            yield f"{code} {meaning}", int(chosen.sum()), wilson_interval(int(labels[chosen].sum()), int(chosen.sum()))


def rank_correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's correlations between all fields and the target, over patients with both values."""
    table = frame[list(UCI_HEART.names)].assign(disease=target(frame))
    names = list(table.columns)
    found = np.eye(len(names))
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            both = table[[one, other]].dropna()
            found[i, j] = found[j, i] = spearmanr(both[one], both[other]).statistic
    return pd.DataFrame(found, index=names, columns=names)


def cramers_v(frame: pd.DataFrame) -> dict[str, float]:
    """Return Cramér's V (0 to 1) of each coded field with disease, strongest first."""
    labels = target(frame)
    found = {}
    for name in CODED_FIELDS:
        known = frame[name].notna().to_numpy()
        counts = pd.crosstab(frame.loc[known, name], labels[known])
        statistic = chi2_contingency(counts, correction=False).statistic
        found[name] = float(np.sqrt(statistic / (known.sum() * (min(counts.shape) - 1))))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def population_stability_index(frame: pd.DataFrame, site: str) -> dict[str, float]:
    """Return each field's population stability index of a hospital against Cleveland, over patients with the field.

    Below 0.1 populations count as the same, above 0.25 as different. Numeric fields are binned by Cleveland's deciles.
    Fields that fewer than 20 of a hospital's patients have are omitted: their index would be noise.
    """
    reference, hospital = (frame[frame["site"] == name] for name in (TRAINING_SITE, site))
    found = {}
    for name in UCI_HEART.names:
        one, other = reference[name].dropna().to_numpy(), hospital[name].dropna().to_numpy()
        if len(other) >= MIN_PATIENTS:
            found[name] = _index(*(_shares(values, name, one) for values in (one, other)))
    return found


def _shares(values: npt.NDArray[np.float64], name: str, reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    feature = _feature(name)
    if feature.codes:
        counts = np.array([(values == code).sum() for code, _ in feature.codes], dtype=np.float64)
    else:
        inner = np.unique(np.quantile(reference, np.linspace(0, 1, _PSI_BINS + 1)))[1:-1]
        counts = np.bincount(np.searchsorted(inner, values), minlength=len(inner) + 1).astype(np.float64)
    counts = np.maximum(counts, _FLOOR)
    shares: npt.NDArray[np.float64] = counts / counts.sum()
    return shares


def _index(reference: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(((other - reference) * np.log(other / reference)).sum())


def outliers(frame: pd.DataFrame) -> Iterator[tuple[str, float, int]]:
    """Yield field, value and count of values more than 3 interquartile ranges beyond the quartiles."""
    for name in NUMERIC_FIELDS:
        values = frame[name].dropna()
        low, high = values.quantile([0.25, 0.75])
        reach = 3 * (high - low)
        for value in sorted(values[(values < low - reach) | (values > high + reach)].unique()):
            yield name, float(value), int((values == value).sum())


def table_one(frame: pd.DataFrame, by: Sequence[str], columns: dict[str, npt.NDArray[np.bool_]]) -> list[list[str]]:
    """Describe groups of patients, a column each: numeric fields by median (quartiles), codes by share.

    A field with missing values has a row with their number.
    """
    rows = [["patients", *(str(int(chosen.sum())) for chosen in columns.values())]]
    for name in by:
        feature = _feature(name)
        groups = [frame.loc[chosen, name] for chosen in columns.values()]
        if not feature.codes:
            unit = f" [{feature.unit}]" if feature.unit else ""
            rows.append([f"{name}{unit}, median (quartiles)", *map(_quartiles, groups)])
        for code, meaning in feature.codes:
            rows.append([f"{name} {code}: {meaning}", *(_share(group, code) for group in groups)])
        if any(group.isna().any() for group in groups):
            rows.append([f"{name} not measured", *map(_missing, groups)])
    return rows


def _quartiles(values: pd.Series) -> str:
    if values.notna().sum() == 0:
        return "-"
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    digits = 0 if _is_whole(values) else 1
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _is_whole(values: pd.Series) -> bool:
    known = values.dropna()
    return bool((known == known.round()).all())


def _share(values: pd.Series, code: int) -> str:
    known = values.dropna()
    return f"{(known == code).mean():.0%}" if len(known) >= MIN_PATIENTS else "-"


def _missing(values: pd.Series) -> str:
    return f"{int(values.isna().sum())} ({values.isna().mean():.0%})"


def _feature(name: str) -> Feature:
    return UCI_HEART.features[UCI_HEART.names.index(name)]
