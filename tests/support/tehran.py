"""Tehran's patients (Z-Alizadeh Sani) with UCI's fields: an external validation that the repository does not carry.

`python -m tests.support.tehran z-alizadeh-sani.csv tehran.csv` converts the published file. Six fields were not
measured; chest pain is given as flags, none of which means asymptomatic; cholesterol is that of Friedewald's formula.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from schemas.tables.builtin import UCI_HEART

PUBLISHED: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "cohorts" / "z-alizadeh-sani.csv"
_OUTCOME: Final = "target"


def converted(source: Path, target: Path) -> Path:
    """Write the published file's patients as a labelled file of the built-in table."""
    with source.open(encoding="utf-8-sig", newline="") as published, target.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*UCI_HEART.names, _OUTCOME], restval="")
        writer.writeheader()
        writer.writerows(map(_patient, csv.DictReader(published)))
    return target


def _patient(row: Mapping[str, str]) -> dict[str, object]:
    return {
        "age": row["Age"],
        "sex": int(row["Sex"] == "Male"),
        "cp": next(_chest_pain(row)),
        "trestbps": row["BP"],
        "chol": round(float(row["LDL"]) + float(row["HDL"]) + float(row["TG"]) / 5),
        "fbs": int(float(row["FBS"]) > 120),
        "restecg": _ecg(row),
        _OUTCOME: int(row["Cath"] == "Cad"),
    }


def _chest_pain(row: Mapping[str, str]) -> Iterator[int]:
    """Yield UCI's codes that the flags mean, 4 (asymptomatic) if there is none."""
    flags = (row["Typical Chest Pain"] == "1", row["Atypical"] == "Y", row["Nonanginal"] == "Y", True)
    yield from (code for code, flag in enumerate(flags, 1) if flag)


def _ecg(row: Mapping[str, str]) -> int:
    """Return UCI's code: 2 for left ventricular hypertrophy, else 1 for any change of ST segment or T wave."""
    if row["LVH"] == "Y":
        return 2
    return int("1" in (row["St Elevation"], row["St Depression"], row["Tinversion"]))


if __name__ == "__main__":
    converted(Path(sys.argv[1]), Path(sys.argv[2]))
