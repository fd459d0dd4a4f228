"""The records that the demo produces: the 920 real patients, shuffled, and some invalid ones."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from schemas.tables.builtin import UCI_HEART

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


FLAWS: Final[Mapping[str, Callable[[Record], bytes | None]]] = {
    "not JSON": lambda record: _json(record)[:-9],
    "not an object": lambda record: _json(record)[:0] + json.dumps(list(record.values())).encode(),
    "not UTF-8": lambda record: _json(record).replace(b'"patient_id": "', b'"patient_id": "\xff'),
    "a field is missing": lambda record: _json(_without(record, "thalach")),
    "an unknown field": lambda record: _json({**record, "cholesterol": 210}),
    "a wrong type": lambda record: _json({**record, "age": [61]}),
    "a number in quotes": lambda record: _json({**record, "age": "63"}),
    "true for a number": lambda record: _json({**record, "sex": True}),
    "NaN": lambda record: _json({**record, "chol": math.nan}),
    "out of range": lambda record: _json({**record, "age": 630}),
    "an impossible code": lambda record: _json({**record, "restecg": 5}),
    "a code of another coding": lambda record: _json({**record, "thal": 2}),
    "a tombstone": lambda _: None,
    "a field twice": lambda record: _json(record)[:-1] + b', "age": 61}',
}
"""The ways in which the demo invalidates a record, by name."""


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


def demo_records(seed: int, bad_share: float) -> Iterator[DemoRecord]:
    """Yield records endlessly: all patients, reshuffled each time, about `bad_share` of them invalid."""
    rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
    patients = real_patients()
    flaws = list(FLAWS)
    while True:
        rng.shuffle(patients)
        for patient in patients:
            key = str(patient["patient_id"]).encode()
            flaw = rng.choice(flaws) if rng.random() < bad_share else None
            yield DemoRecord(key, FLAWS[flaw](patient) if flaw else _json(patient), flaw)
