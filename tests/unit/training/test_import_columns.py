"""What an imported pipeline expects is found from its columns and classes, and refused where it is not certain."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from schemas.errors import ArtifactError
from schemas.tables.feature_table import Outcome
from tests.support.other_tables import table
from tests.support.uci import UCI
from training.importing.columns import pipeline_input, positive_class

NAMES = UCI.table.names
CODES = Outcome("num", (1, 2, 3, 4), (0,), "disease")
INVERTED = Outcome("target", (0,), (1,), "a tumour")
WORDS = Outcome("readmitted", ("yes", "elsewhere"), ("no",), "readmission")


def test_columns_are_found_by_name_in_any_order() -> None:
    """Each column of the pipeline is the position of its field, in the pipeline's order."""
    found = pipeline_input(NAMES[::-1], 13, UCI.table, 1)
    assert (found.fields, found.names) == (tuple(range(12, -1, -1)), NAMES[::-1])


def test_aliases_are_fields() -> None:
    """As in labelled files, where case and punctuation do not matter, either."""
    others = table("text_codes")
    names = ["Alter (Jahre)", "Ward", "λ", "stays", "SMOKER", "asa", "temperature"]
    found = pipeline_input(names, len(names), others, 0)
    assert (found.fields, found.labels[1], found.labels[4]) == (
        tuple(range(7)),
        ("medical", "surgical", "intensive care"),
        (),
    )


def test_all_problems_of_columns_are_in_one_refusal() -> None:
    """Unknown, repeated and unused columns, with what to do."""
    names = [*NAMES[:-1], "AGE", "bmi"]
    with pytest.raises(ArtifactError) as caught:
        pipeline_input(names, len(names), UCI.table, 1)
    for part in ("has no field bmi", "several columns mean age", "does not use thal: remove the field from the table"):
        assert part in str(caught.value)


def test_an_array_has_the_fields_in_order() -> None:
    """As many columns as fields; with another number, or an unknown one, it is refused."""
    assert pipeline_input(None, 13, UCI.table, 1).fields == tuple(range(13))
    for count, reason in ((12, "array of 12 columns, and .* has 13 fields"), (None, "its columns are not known")):
        with pytest.raises(ArtifactError, match=reason):
            pipeline_input(None, count, UCI.table, 1)


def test_an_array_cannot_have_texts() -> None:
    """A position in place of a text is this project's own: a pipeline that was fitted on one cannot be recognised."""
    with pytest.raises(ArtifactError, match="the codes of ward, stays are texts: fit it on a data frame"):
        pipeline_input(None, 7, table("text_codes"), 1)


@pytest.mark.parametrize(
    ("classes", "chosen", "outcome", "expected"),
    [
        ([0, 1], None, CODES, 1),
        ([0.0, 1.0], None, CODES, 1),
        ([False, True], None, WORDS, 1),
        ([False, True], None, INVERTED, 1),
        (["no", "yes"], None, WORDS, 1),
        (["elsewhere", "no"], None, WORDS, 0),
        ([0, 1], None, WORDS, 1),
        ([0, 3], None, CODES, 1),
        ([0, 1], "0", INVERTED, 0),
        (["benign", "malignant"], "malignant", INVERTED, 1),
    ],
    ids=str,
)
def test_positive_class(classes: list[object], chosen: str | None, outcome: Outcome, expected: int) -> None:
    """The chosen one; else 1 of 0 and 1, True, or the one that the table's outcome calls positive."""
    assert positive_class(classes, chosen, outcome) == expected


@pytest.mark.parametrize(
    ("classes", "chosen", "outcome", "reason"),
    [
        ([0, 1], None, INVERTED, "table calls 0 positive, the usual meaning of 1 is the opposite"),
        (["benign", "malignant"], None, INVERTED, "classes are benign and malignant, neither 0 and 1 nor values of"),
        ([1, 2], None, WORDS, "name the class of patients with the outcome with --positive"),
        ([1, 2], None, CODES, "neither 0 and 1 nor values"),
        ([0, 1, 2], None, CODES, "has 3 classes"),
        ([0, 1], "yes", CODES, "--positive must name one of the classifier's classes, 0 and 1"),
    ],
    ids=str,
)
def test_an_uncertain_positive_class_is_refused(
    classes: list[object], chosen: str | None, outcome: Outcome, reason: str
) -> None:
    """Two rules that disagree, or none that applies: nothing is guessed."""
    with pytest.raises(ArtifactError, match=reason):
        positive_class(classes, chosen, outcome)


def test_texts_are_given_as_texts() -> None:
    """A data frame has the text of each code, NaN where it is missing; ONNX gets an empty text."""
    others = table("text_codes")
    found = pipeline_input(others.names[::-1], 7, others, 1)
    matrix = np.array([[63.0, 2, 1.5, np.nan, 1, 2, 37.0], [70.0, 0, np.nan, 1, 0, 1, np.nan]])
    frame = found.transform(matrix)
    assert (list(frame.columns), frame["ward"].tolist()) == (list(others.names[::-1]), ["intensive care", "medical"])
    assert (frame["stays"].isna().tolist(), frame["stays"][1]) == ([True, False], "<5")
    tensors = found.tensors(matrix, {"stays", "age"})
    assert (tensors["stays"].tolist(), tensors["age"].tolist()) == ([[""], ["<5"]], [[63.0], [70.0]])


def test_the_only_input_of_a_compiled_pipeline_gets_the_columns_in_its_order() -> None:
    """Whatever it is called."""
    found = pipeline_input(NAMES[::-1], 13, UCI.table, 1)
    matrix = np.arange(26.0).reshape(2, 13)
    assert np.array_equal(found.tensors(matrix, {"x"})["x"], matrix[:, ::-1])


def test_the_input_survives_json() -> None:
    """The same value is read as was written."""
    found = pipeline_input(table("text_codes").names, 7, table("text_codes"), 0)
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
