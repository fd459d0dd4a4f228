"""Who the training patients are: what their rows show, and what is known of UCI's four hospitals.

What no row shows (the place, the years, how patients were selected) is stated only where the SHA-256 of the rows proves
that they are a hospital's of UCI Heart Disease. A file's name proves nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec
import pandas as pd

from schemas.features import FEATURE_NAMES, FEATURES
from scoring.model_artifact import DataEntry
from training.data.dataset import SITES, file_name
from training.data.frames import TRAINING_SITE, digest, read_snapshot, row_keys, target


class Hospital(msgspec.Struct, frozen=True):
    """What is known of a hospital of UCI Heart Disease: its name, where and when its patients were seen."""

    name: str
    seen: str

    @property
    def patients(self) -> str:
        """Its patients, as a phrase."""
        return f"patients referred for coronary angiography {self.seen}"


HOSPITALS: Final = {
    "cleveland": Hospital("Cleveland Clinic", "at the Cleveland Clinic, 1981 to 1984"),
    "hungarian": Hospital("Budapest", "in Budapest, 1983 to 1987"),
    "switzerland": Hospital("Zurich and Basel", "in Zurich and Basel, 1984 to 1985"),
    "va": Hospital("Long Beach VA", "at the VA hospital of Long Beach, 1983 to 1987"),
}


class Group(msgspec.Struct, frozen=True):
    """Patients, and how many of them have disease."""

    patients: int
    events: int


class Population(msgspec.Struct, frozen=True):
    """The training patients, as their rows show them.

    `hospital` is the key of the UCI hospital whose rows these are, None where the rows prove none. `ages` are those of
    the youngest and the oldest, `missing` counts the patients without a field, `incomplete` those without any one of
    them, `codes` patients by field and code. `also_in` counts the rows that stand in UCI's file of a hospital, too.
    """

    hospital: str | None
    ages: tuple[float, float]
    incomplete: int
    missing: dict[str, int]
    codes: dict[str, dict[str, Group]]
    also_in: dict[str, int]

    @property
    def known(self) -> Hospital | None:
        """What is known of the patients' hospital."""
        return HOSPITALS[self.hospital] if self.hospital else None


@cache
def _snapshot_digests() -> dict[str, str]:
    return {site: digest(read_snapshot((site,))) for site in SITES}


def hospital_of(rows: pd.DataFrame) -> str | None:
    """Return the UCI hospital whose rows these are by SHA-256, whatever the name of the file they came in."""
    return next((site for site, known in _snapshot_digests().items() if digest(rows.assign(site=site)) == known), None)


def name_of(rows: pd.DataFrame, site: str) -> str:
    """Return the name of the hospital that the rows prove, else the name of their file."""
    hospital = hospital_of(rows)
    return HOSPITALS[hospital].name if hospital else file_name(site)


def data_entry(rows: pd.DataFrame) -> DataEntry:
    """Describe training rows for the manifest."""
    hospital, file = hospital_of(rows), file_name(TRAINING_SITE)
    known = HOSPITALS[hospital].patients if hospital else f"patients of {file} (who they are is not recorded)"
    return DataEntry(
        name=f"UCI Heart Disease, {HOSPITALS[hospital].name}" if hospital else file,
        rows=len(rows),
        positives=int(target(rows).sum()),
        sha256=digest(rows),
        population=f"{len(rows)} {known}",
    )


def describe(rows: pd.DataFrame) -> Population:
    """Count training rows."""
    labels, lacking = target(rows), rows[list(FEATURE_NAMES)].isna()
    codes = {}
    for feature in FEATURES:
        chosen = {str(code): (rows[feature.name] == code).to_numpy() for code, _ in feature.codes}
        if chosen:
            codes[feature.name] = {code: Group(int(who.sum()), int(labels[who].sum())) for code, who in chosen.items()}
    keys = row_keys(rows)
    there = {site: {*row_keys(read_snapshot((site,)))} for site in SITES}
    return Population(
        hospital=hospital_of(rows),
        ages=(float(rows["age"].min()), float(rows["age"].max())),
        incomplete=int(lacking.any(axis=1).sum()),
        missing={name: int(lacking[name].sum()) for name in FEATURE_NAMES},
        codes=codes,
        also_in={site: found for site, known in there.items() if (found := sum(key in known for key in keys))},
    )
