"""docs/fhir.md and the FHIR examples agree with the code."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle

from api.protocols.fhir import operation_outcome, serialize
from api.protocols.fhir.parse import ParsedBundle
from schemas.fhir.mapping import EXTENSION, Measure
from schemas.tables.fhir import LOINC
from tests.support.fhir_bundles import FLAGS, UCI_FHIR, parse
from tests.support.uci import FEATURES

PAGE = Path("docs/fhir.md").read_text(encoding="utf-8")
EXAMPLES = Path("schemas/examples/fhir/v1")
TODAY = dt.date(2026, 1, 1)
"""The day of all examples."""
ISSUE_TYPES = re.findall(
    r"[\w-]+",
    """invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly business-rule
    conflict transient lock-error no-store exception timeout incomplete throttled informational""",
)
"""FHIR R4's value set issue-type."""


def row(measure: Measure) -> str:
    """A line of the page's table."""
    system = "LOINC" if measure.system == LOINC else "own"
    units = [f"`{code}`" + (f" (x {factor:g})" if factor != 1 else "") for code, factor in measure.units.items()]
    takes = f"Quantity in {' or '.join(units)}" if units else "code or integer"
    if measure.field in FLAGS and not units:
        takes += " or boolean"
    if measure.cut is not None:
        takes += f"; 1 where over {measure.cut.above:g} mg/dL"
    if measure.field in UCI_FHIR.coded and not units:
        (feature,) = (each for each in FEATURES if each.name == measure.field)
        takes += ": " + ", ".join(f"{code} {label}" for code, label in feature.codes)
    return f"| {measure.field} | {system} `{measure.code}` | {measure.display} | {takes} |"


def test_every_code_is_in_the_table() -> None:
    """One line each, by field, in the order of the code's table."""
    order = [feature.name for feature in FEATURES]
    rows = [row(measure) for measure in sorted(UCI_FHIR.measures, key=lambda each: order.index(each.field))]
    assert re.findall(r"^\| \w+ \| (?:LOINC|own) `.+$", PAGE, re.MULTILINE) == rows


def test_every_url_of_ours_is_documented() -> None:
    """All extensions and code systems that a response can have."""
    source = Path(serialize.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r"\{EXTENSION\}([a-z-]+)", source))
    documented = set(re.findall(rf"`{EXTENSION}([a-z-]+)`", PAGE))
    assert names == documented - {"heart-disease-risk"}
    assert f"`{operation_outcome.ISSUE_SYSTEM}`" in PAGE


def test_every_issue_type_is_in_fhirs_value_set() -> None:
    """Of R4."""
    kinds = {*operation_outcome._TYPE_BY_CODE.values(), *operation_outcome._TYPE_BY_STATUS.values()}
    assert kinds - {*ISSUE_TYPES} == set()


@pytest.mark.parametrize("path", sorted((EXAMPLES / "accepted").glob("*.json")), ids=lambda path: path.stem)
def test_an_accepted_example_is_valid_and_read_as_its_record(path: Path) -> None:
    """Valid by the models of `fhir.resources`, and equal byte for byte."""
    Bundle.model_validate_json(path.read_bytes())
    reading = parse(path.read_bytes(), TODAY)
    assert isinstance(reading, ParsedBundle), reading
    assert reading.record + b"\n" == path.with_suffix(".record").read_bytes()


@pytest.mark.parametrize("path", sorted((EXAMPLES / "rejected").glob("*.issues.json")), ids=lambda path: path.stem)
def test_a_rejected_example_has_its_faults(path: Path) -> None:
    """Code and location of each, in order; it is still valid FHIR, so the refusal is ours."""
    body = path.with_name(path.name.replace(".issues", "")).read_bytes()
    Bundle.model_validate_json(body)
    found = parse(body, TODAY)
    assert not isinstance(found, ParsedBundle)
    assert [[str(issue.code), issue.pointer] for issue in found] == json.loads(path.read_bytes())
