"""What there is to know of the data before a model is trained: counts, shares, associations and shifts.

Every function takes tables as `training.data.frames` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2_contingency, spearmanr

from schemas.features import FEATURE_NAMES, FEATURES, Feature
from training.data.dataset import SITES, snapshot_rows
from training.data.frames import TRAINING_SITE, target
from training.data.population import HOSPITALS
from training.estimates import FEWEST, Estimate, wilson

SITE_NAMES: Final = {site: hospital.name for site, hospital in HOSPITALS.items()}
"""Names of the snapshot's hospitals. Files of a user's own are named by `training.data.population.name_of`."""
SCALES: Final = ("age", "trestbps", "chol", "thalach", "oldpeak")
CODES: Final = ("sex", "cp", "fbs", "restecg", "exang", "slope", "ca", "thal")
NAMED: Final = ("cp", "thalach", "oldpeak")
"""The fields that most descriptions of this data name."""
_PSI_BINS: Final = 10
_FLOOR: Final = 0.5
"""Patients that an empty bin counts as, so that its share has a logarithm."""


def severity(frame: pd.DataFrame) -> pd.DataFrame:
    """Count patients by hospital (rows) and `num` (columns 0 to 4); Budapest's file tells only 0 and 1."""
    return pd.crosstab(frame["site"], frame["num"]).reindex(list(SITES)).fillna(0).astype(int)


def missing_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the share of patients without a value, by hospital (rows) and field; codes for "missing" count as such."""
    shares: pd.DataFrame = frame[list(FEATURE_NAMES)].isna().groupby(frame["site"]).mean().reindex(list(SITES))
    return shares


def zero_cholesterol() -> dict[str, int]:
    """Count the patients whose cholesterol stands as 0 in UCI's files, by hospital."""
    place = 1 + FEATURE_NAMES.index("chol")
    rows = snapshot_rows()
    return {site: sum(row[0] == site and row[place] == "0" for row in rows) for site in SITES}


def prevalence(frame: pd.DataFrame, name: str) -> Iterator[tuple[str, int, Estimate]]:
    """Yield, for each code of a field, its meaning, how many have it, and the share of them that has disease."""
    labels = target(frame)
    for code, meaning in _feature(name).codes:
        chosen = (frame[name] == code).to_numpy()
        if chosen.any():
            yield f"{code} {meaning}", int(chosen.sum()), wilson(int(labels[chosen].sum()), int(chosen.sum()))


def rank_correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's correlation of each field and the target with each other, over patients who have both."""
    table = frame[list(FEATURE_NAMES)].assign(disease=target(frame))
    names = list(table.columns)
    found = np.eye(len(names))
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            both = table[[one, other]].dropna()
            found[i, j] = found[j, i] = spearmanr(both[one], both[other]).statistic
    return pd.DataFrame(found, index=names, columns=names)


def cramers_v(frame: pd.DataFrame) -> dict[str, float]:
    """Return how strongly each coded field goes with disease, 0 to 1 (Cramér's V), strongest first."""
    labels = target(frame)
    found = {}
    for name in CODES:
        known = frame[name].notna().to_numpy()
        counts = pd.crosstab(frame.loc[known, name], labels[known])
        statistic = chi2_contingency(counts, correction=False).statistic
        found[name] = float(np.sqrt(statistic / (known.sum() * (min(counts.shape) - 1))))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def stability_index(frame: pd.DataFrame, site: str) -> dict[str, float]:
    """Return each field's population stability index of a hospital against Cleveland, over those who have the field.

    Under 0.1 counts as the same, over 0.25 as another population. Scales are cut at Cleveland's tenths. Fields that
    fewer than 20 of a hospital's patients have are left out: their index would tell of chance.
    """
    ours, theirs = (frame[frame["site"] == name] for name in (TRAINING_SITE, site))
    found = {}
    for name in FEATURE_NAMES:
        one, other = ours[name].dropna().to_numpy(), theirs[name].dropna().to_numpy()
        if len(other) >= FEWEST:
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


def _index(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    return float(((theirs - ours) * np.log(theirs / ours)).sum())


def outside_support(frame: pd.DataFrame) -> Iterator[tuple[str, float, int]]:
    """Yield the values of Cleveland's scales that stand far out (over 3 interquartile ranges beyond the quartiles)."""
    for name in SCALES:
        values = frame[name].dropna()
        low, high = values.quantile([0.25, 0.75])
        reach = 3 * (high - low)
        for value in sorted(values[(values < low - reach) | (values > high + reach)].unique()):
            yield name, float(value), int((values == value).sum())


def table_one(frame: pd.DataFrame, by: Sequence[str], columns: dict[str, npt.NDArray[np.bool_]]) -> list[list[str]]:
    """Describe groups of patients, a column each: scales as median (quartiles), codes as share of those measured.

    A field that anybody lacks has a line that tells how many do.
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
    return f"{(known == code).mean():.0%}" if len(known) >= FEWEST else "-"


def _missing(values: pd.Series) -> str:
    return f"{int(values.isna().sum())} ({values.isna().mean():.0%})"


def _feature(name: str) -> Feature:
    return FEATURES[FEATURE_NAMES.index(name)]
