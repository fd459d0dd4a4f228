"""docs/feature-table.md has every key of the file, and its example is a valid table."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from schemas.record_format import RecordFormat
from schemas.records import PatientRecord
from schemas.tables import toml_specs
from schemas.tables.checks import MOST_FEATURES, MOST_OPTIONAL
from schemas.tables.feature_table import Outcome
from schemas.tables.toml_file import read_table

PAGE = Path("docs/feature-table.md").read_text("utf-8")
SPECS = {
    "Keys": toml_specs.TableSpec,
    "Outcome": Outcome,
    "Fields": toml_specs.FeatureSpec,
    "Groups and subgroups": toml_specs.SubgroupSpec,
    "Codings": toml_specs.CodingSpec,
}


def section(title: str) -> str:
    """Return the part of the page below a heading, up to the next one."""
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("title", SPECS)
def test_every_key_is_described(title: str) -> None:
    """In the section of its part of the file."""
    keys = [field.encode_name for field in msgspec.structs.fields(SPECS[title])]
    assert [key for key in keys if f"`{key}`" not in section(title)] == []


def test_the_example_is_a_valid_table_of_20_to_30_lines() -> None:
    """And the record below it is one of its records."""
    text = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    record = re.search(r"A record of it is `(.*?)`", PAGE)
    assert text
    assert record
    table = read_table(text[1].encode(), "example")
    assert isinstance(RecordFormat(table).validate(record[1].encode()), PatientRecord)
    assert 20 <= len([line for line in text[1].splitlines() if line]) <= 30


def test_the_limits_are_those_of_the_checks() -> None:
    """The number of fields, and of optional ones."""
    assert f"1 to {MOST_FEATURES} of `[[feature]]`" in PAGE
    assert f"At most {MOST_OPTIONAL} fields may be optional" in PAGE
