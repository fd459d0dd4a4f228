"""docs/fhir.md and the FHIR examples agree with the code."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
from fhir.resources.bundle import Bundle as R5Bundle
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.questionnaire import Questionnaire
from fhir.resources.STU3.bundle import Bundle as Stu3Bundle

from api.protocols.fhir import operation_outcome, populate, serialize
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from schemas.fhir.mapping import EXTENSION
from schemas.generate import fhir_page
from tests.support.fhir_bundles import UCI_FHIR, parse
from tests.support.lenient_bundles import LENIENT
from tests.support.uci import validate

PAGE = Path("docs/fhir.md").read_text(encoding="utf-8")
EXAMPLES = Path("schemas/examples/fhir/v1")
TODAY = dt.date(2026, 1, 1)
"""The day of all examples."""
VERSIONS = {"stu3": Stu3Bundle, "r5": R5Bundle}
"""The models of Bundles of other versions than R4, by the first word of an example's name."""
ISSUE_TYPES = re.findall(
    r"[\w-]+",
    """invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly business-rule
    conflict transient lock-error no-store exception timeout incomplete throttled informational""",
)
"""FHIR R4's value set issue-type."""


def test_the_table_of_codes_is_that_of_the_feature_table() -> None:
    """One line for each code; `python -m schemas.generate` writes it."""
    assert fhir_page.render(PAGE, UCI_FHIR) == PAGE
    lines = re.findall(r"^\| (\w+) \| (?:LOINC|own) `(.+?)`", PAGE, re.MULTILINE)
    assert sorted(lines) == sorted((measure.field, measure.code) for measure in UCI_FHIR.measures)


def test_every_url_of_ours_is_documented() -> None:
    """All extensions and code systems that a response can have."""
    source = "".join(Path(each.__file__).read_text(encoding="utf-8") for each in (serialize, populate))
    names = set(re.findall(r"\{EXTENSION\}([a-z-]+)", source))
    documented = set(re.findall(rf"`{EXTENSION}([a-z-]+)`", PAGE))
    assert names == documented - {"heart-disease-risk"}
    assert f"`{operation_outcome.ISSUE_SYSTEM}`" in PAGE


def test_the_form_is_that_of_the_feature_table() -> None:
    """Valid FHIR, written by `python -m schemas.generate`."""
    committed = fhir_page.FORM.read_text(encoding="utf-8")
    assert fhir_page.form(UCI_FHIR) == committed
    assert json.loads(Questionnaire.model_validate_json(committed).model_dump_json()) == json.loads(committed)


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
    assert isinstance(found, RefusedBundle)
    assert [[str(issue.code), issue.pointer] for issue in found.issues] == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", sorted((EXAMPLES / "hospitals").glob("*.json")), ids=lambda path: path.stem)
def test_a_hospitals_example_is_read_leniently(path: Path) -> None:
    """It is valid FHIR of its version; its record or its issues, and all notes, are those beside it."""
    VERSIONS.get(path.stem.partition("-")[0], Bundle).model_validate_json(path.read_bytes())
    found = LENIENT.parse(path.read_bytes(), TODAY).result
    assert list(found.notes) == path.with_suffix(".notes").read_text("utf-8").splitlines()
    if path.with_suffix(".record").exists():
        assert isinstance(found, ParsedBundle)
        assert found.record + b"\n" == path.with_suffix(".record").read_bytes()
        return
    if isinstance(found, ParsedBundle):
        # What can be read, the core refuses.
        refused = validate(found.record)
        assert isinstance(refused, tuple)
        issues = found.issues_of(refused)
    else:
        issues = found.issues
    expected = json.loads(path.with_suffix(".issues").read_bytes())
    assert [[str(issue.code), issue.pointer] for issue in issues] == expected
