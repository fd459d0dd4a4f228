"""The study population: what the training rows show, and what is known about UCI's four hospitals.

Facts that rows do not show (place, years, selection of patients) are those of the feature table, or, for the built-in
table, stated only if the SHA-256 of the rows is that of a hospital of UCI Heart Disease. File names are not trusted.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec
import pandas as pd

from schemas.tables.builtin import is_builtin
from schemas.tables.feature_table import FeatureTable
from scoring.model_artifact import DataEntry
from training.data.dataset import SITES, file_name
from training.data.frames import digest, read_snapshot, row_keys, target


class Hospital(msgspec.Struct, frozen=True):
    """A hospital of UCI Heart Disease: its name, and where and when its patients were seen."""

    name: str
    seen: str

    @property
    def patients(self) -> str:
        """A phrase for its patients."""
        return f"patients referred for coronary angiography {self.seen}"


HOSPITALS: Final = {
    "cleveland": Hospital("Cleveland Clinic", "at the Cleveland Clinic, 1981 to 1984"),
    "hungarian": Hospital("Budapest", "in Budapest, 1983 to 1987"),
    "switzerland": Hospital("Zurich and Basel", "in Zurich and Basel, 1984 to 1985"),
    "va": Hospital("Long Beach VA", "at the VA hospital of Long Beach, 1983 to 1987"),
}


class CodeCount(msgspec.Struct, frozen=True):
    """The patients with a code, and those of them with disease."""

    patients: int
    events: int


class Population(msgspec.Struct, frozen=True):
    """The training patients as their rows show them.

    `hospital` is the key of the UCI hospital that the rows identify, or None. `who` is what the feature table says of
    its patients, `ranges` are each quantity's minimum and maximum, `missing` counts the patients without a field,
    `incomplete` those who lack at least one, `codes` patients by field and code. `also_in` counts the rows that are
    also in UCI's file of a hospital.
    """

    hospital: str | None
    who: str
    ranges: dict[str, tuple[float, float]]
    incomplete: int
    missing: dict[str, int]
    codes: dict[str, dict[str, CodeCount]]
    also_in: dict[str, int]

    @property
    def known(self) -> Hospital | None:
        """The facts about the patients' hospital, if the rows identify it."""
        return HOSPITALS[self.hospital] if self.hospital else None


@cache
def _snapshot_digests() -> dict[str, str]:
    return {site: digest(read_snapshot((site,))) for site in SITES}


def identify_hospital(rows: pd.DataFrame) -> str | None:
    """Return the UCI hospital that the rows' SHA-256 identifies, whatever the name of their file."""
    return next((site for site, known in _snapshot_digests().items() if digest(rows.assign(site=site)) == known), None)


def hospital_name(rows: pd.DataFrame, site: str, table: FeatureTable) -> str:
    """Return the name of the hospital that the rows identify, else the name of their file or site."""
    if not is_builtin(table):
        return site
    hospital = identify_hospital(rows)
    return HOSPITALS[hospital].name if hospital else file_name(site)


def data_entry(rows: pd.DataFrame, table: FeatureTable, file: str) -> DataEntry:
    """Return the manifest's description of training rows, which are those of `file`."""
    hospital = _hospital(rows, table)
    recorded = HOSPITALS[hospital].patients if hospital else _who(table)
    known = recorded or f"patients of {file} (who they are is not recorded)"
    return DataEntry(
        name=f"UCI Heart Disease, {HOSPITALS[hospital].name}" if hospital else file,
        rows=len(rows),
        positives=int(target(rows).sum()),
        sha256=digest(rows),
        population=f"{len(rows)} {known}",
    )


def _hospital(rows: pd.DataFrame, table: FeatureTable) -> str | None:
    return identify_hospital(rows) if is_builtin(table) else None


def _who(table: FeatureTable) -> str:
    """Return the table's description of its patients; the built-in one does not know whose rows a file has."""
    return "" if is_builtin(table) else table.population.who


def describe_population(rows: pd.DataFrame, table: FeatureTable) -> Population:
    """Return what training rows show."""
    labels, lacking = target(rows), rows[list(table.names)].isna()
    codes = {}
    for feature in table.features:
        pairs = zip(feature.sent, feature.codes, strict=True)
        chosen = {str(sent): (rows[feature.name] == code).to_numpy() for sent, (code, _) in pairs}
        if chosen:
            codes[feature.name] = {
                code: CodeCount(int(mask.sum()), int(labels[mask].sum())) for code, mask in chosen.items()
            }
    keys, sites = row_keys(rows), SITES if is_builtin(table) else ()
    keys_by_site = {site: {*row_keys(read_snapshot((site,)))} for site in sites}
    quantities = [feature.name for feature in table.features if not feature.codes and not lacking[feature.name].all()]
    return Population(
        hospital=_hospital(rows, table),
        who=_who(table),
        ranges={name: (float(rows[name].min()), float(rows[name].max())) for name in quantities},
        incomplete=int(lacking.any(axis=1).sum()),
        missing={name: int(lacking[name].sum()) for name in table.names},
        codes=codes,
        also_in={site: found for site, known in keys_by_site.items() if (found := sum(key in known for key in keys))},
    )
