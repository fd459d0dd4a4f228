"""The records that the demo produces, some of them invalid.

For the built-in feature table they are the 920 real patients, shuffled; for another, synthetic ones, each field with
its distribution among the model's training patients.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from schemas.errors import ArtifactError
from schemas.tables.builtin import UCI_HEART, is_builtin
from schemas.tables.feature_table import PATIENT_ID, Feature, FeatureTable
from scoring.drift_reference import Reference
from scoring.model_artifact import Artifact

_SYNTHETIC: Final = 500
"""The number of synthetic patients."""

Record = dict[str, object]
Outcome = Literal[0, 1]


class DemoRecord(msgspec.Struct, frozen=True):
    """A record to produce; `flaw` names what is wrong with it, None for a valid record."""

    key: bytes
    value: bytes | None
    flaw: str | None


def _json(record: Mapping[str, object]) -> bytes:
    return json.dumps(record).encode()


def _without(record: Record, name: str) -> Record:
    return {field: value for field, value in record.items() if field != name}


Flaw = Callable[[Record], bytes | None]
FOREIGN_CODE: Final = "a code of another coding"
"""The flaw of which one in the first ten records of a source has the valid ones rejected as well."""


def flaws_of(table: FeatureTable) -> Mapping[str, Flaw]:
    """Return the ways in which the demo invalidates a record of a feature table, by name."""
    numbers = [feature for feature in table.features if not feature.labels]
    flaws = _general_flaws(table)
    if numbers:
        flaws |= _number_flaws(next((each for each in numbers if not each.codes), numbers[0]))
    if coded := next((feature for feature in reversed(table.features) if feature.codes), None):
        impossible = "no such code" if coded.labels else coded.codes[-1][0] + 90
        flaws["an impossible code"] = lambda record: _json({**record, coded.name: impossible})
    foreign = [(each, hint) for each in table.features for hint in each.hints if hint.foreign and each.codes]
    if foreign:
        feature, hint = foreign[-1]
        flaws[FOREIGN_CODE] = lambda record: _json({**record, feature.name: hint.highest})
    return flaws


def _general_flaws(table: FeatureTable) -> dict[str, Flaw]:
    first = table.names[0]
    return {
        "not JSON": lambda record: _json(record)[:-9],
        "not an object": lambda record: json.dumps(list(record.values())).encode(),
        "not UTF-8": lambda record: _json(record).replace(b'"patient_id": "', b'"patient_id": "\xff'),
        "a field is missing": lambda record: _json(_without(record, table.names[-1])),
        "an unknown field": lambda record: _json({**record, "no_such_field": 210}),
        "a wrong type": lambda record: _json({**record, first: [61]}),
        "a tombstone": lambda _: None,
        "a field twice": lambda record: _json(record)[:-1] + b', "%s": 61}' % first.encode(),
    }


def _number_flaws(feature: Feature) -> dict[str, Flaw]:
    name, beyond = feature.name, feature.interval[1] * 10 + 1_000
    return {
        "a number in quotes": lambda record: _json({**record, name: "63"}),
        "true for a number": lambda record: _json({**record, name: True}),
        "NaN": lambda record: _json({**record, name: math.nan}),
        "out of range": lambda record: _json({**record, name: beyond}),
    }


def independent_flaws(table: FeatureTable) -> Mapping[str, Flaw]:
    """Return the flaws that concern their own record only, whatever its neighbours are."""
    return {name: flaw for name, flaw in flaws_of(table).items() if name != FOREIGN_CODE}


FLAWS: Final = flaws_of(UCI_HEART)
"""Those of the built-in table."""


def real_patients() -> list[Record]:
    """Return the 920 patients of the snapshot as records, in its order."""
    from training.data.frames import features, read_snapshot  # noqa: PLC0415  # pandas: not while --help is shown

    frame = read_snapshot()
    rows = zip(_ids(frame["site"]), features(frame).tolist(), strict=True)
    return [
        {"patient_id": name, **dict(zip(UCI_HEART.names, map(_plain, values), strict=True))} for name, values in rows
    ]


def known_outcomes() -> dict[str, Outcome]:
    """Return the outcome of each patient, by patient id."""
    from training.data.frames import read_snapshot, target  # noqa: PLC0415  # as above

    frame = read_snapshot()
    return {name: 1 if found else 0 for name, found in zip(_ids(frame["site"]), target(frame), strict=True)}


def _ids(sites: Iterable[str]) -> list[str]:
    return [f"{site}-{number:03}" for number, site in enumerate(sites)]


def _plain(value: float) -> float | None:
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def synthetic_patients(artifact: Artifact, seed: int) -> list[Record]:
    """Return records whose fields are drawn independently from the training distributions. Raises ArtifactError."""
    if artifact.reference is None:
        raise ArtifactError("the model has no reference.json to draw patients from: train it again")
    rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
    ranges, rows = artifact.manifest.training_range, range(_SYNTHETIC)
    columns = {
        feature.name: [_drawn(feature, artifact.reference, ranges[feature.name], rng) for _ in rows]
        for feature in artifact.table.features
    }
    return [
        {PATIENT_ID: f"synthetic-{row:03}", **{name: column[row] for name, column in columns.items()}} for row in rows
    ]


def _drawn(feature: Feature, reference: Reference, span: tuple[float, float], rng: random.Random) -> float | str | None:
    """Draw a value: a code, or a number from a bin of the training patients' histogram."""
    found = reference.fields[feature.name]
    if not feature.required and rng.random() < found.missing / reference.rows:
        return None
    (bin_,) = rng.choices(range(len(found.measured.counts)), found.measured.counts)
    if feature.codes:
        return feature.sent[bin_]
    low, high = [span[0], *found.measured.edges][bin_], [*found.measured.edges, span[1]][bin_]
    value = rng.uniform(low, high)
    return round(value) if feature.whole else round(value, 2)


def demo_records(seed: int, bad_share: float, artifact: Artifact | None = None) -> Iterator[DemoRecord]:
    """Yield records endlessly: all patients, reshuffled each time, about `bad_share` of them invalid.

    They are for the model `artifact`, by default for one of the built-in table.
    """
    rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
    table = UCI_HEART if artifact is None else artifact.table
    patients = real_patients() if artifact is None or is_builtin(table) else synthetic_patients(artifact, seed)
    flaws = independent_flaws(table)
    names = list(flaws)
    while True:
        rng.shuffle(patients)
        for patient in patients:
            key = str(patient[PATIENT_ID]).encode()
            flaw = rng.choice(names) if rng.random() < bad_share else None
            yield DemoRecord(key, flaws[flaw](patient) if flaw else _json(patient), flaw)
