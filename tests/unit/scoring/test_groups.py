"""Every record is in the patient group whose values it has."""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np

from scoring.compiled_table import CompiledTable
from scoring.groups import ALL_PATIENTS, PatientGroups
from tests.support.tables import each_table
from tests.support.uci import UCI


@each_table
def test_a_record_is_in_the_group_that_has_its_codes(compiled: CompiledTable) -> None:
    """For each combination of codes, and whatever the other fields are."""
    table = compiled.table
    used = sorted({name for group in table.groups for name in group.where})
    expected, rows = [], []
    for codes in product(*([code for code, _ in table.by_name[name].codes] for name in used)):
        values = dict(zip(used, codes, strict=True))
        found = [
            place
            for place, group in enumerate(table.groups)
            if all(values[name] in allowed for name, allowed in group.where.items())
        ]
        expected += found
        rows.append([float(values.get(name, "nan")) for name in table.names])
    assert len(expected) == len(rows)
    assert expected == compiled.groups.of(np.array(rows)).tolist()
    assert compiled.groups.of(np.empty((0, len(table.names)))).tolist() == []


def test_without_groups_all_patients_are_one() -> None:
    """Its index is 0."""
    groups = PatientGroups(msgspec.structs.replace(UCI.table, groups=()))
    assert (groups.names, groups.of(np.ones((3, 13))).tolist()) == ((ALL_PATIENTS,), [0, 0, 0])
