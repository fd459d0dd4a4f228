"""A source whose records use another coding is not scored by any interface; a single typo does not condemn it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode_scores
from schemas.errors import RejectionCode
from scoring import sources
from scoring.batches import JsonBatch
from scoring.evidence import FOREIGN_SHARE, RECENT_RECORDS, SourceWindow
from scoring.pipeline import Results
from scoring.scorer import Scorer
from tests.support.outcomes import Outcome, Rejected, Scored, outcomes_of
from tests.support.public_copies import COPIES, copy_records, uci_records
from tests.support.uci import FOREIGN_SOURCE, UCI

FOREIGN = ("kaggle-303", "kaggle-297", "keel")
PATIENT = (
    b'{"patient_id":"k","age":62,"sex":1,"cp":1,"trestbps":120,"chol":281,"fbs":0,"restecg":0,"thalach":103,'
    b'"exang":0,"oldpeak":1.4,"slope":1,"ca":1,"thal":3}'
)


def scored(values: Sequence[bytes], scorer: Scorer, coding: str | None = None) -> Results:
    return scorer.score(JsonBatch(values, coding).decode(UCI))


def reject_foreign_source(results: Results, window: SourceWindow) -> list[Outcome]:
    return outcomes_of(sources.reject_foreign_source(results, window, UCI.table))


def codes(outcomes: Sequence[Outcome]) -> set[str]:
    return {str(issue.code) for each in outcomes if isinstance(each, Rejected) for issue in each.issues}


def named(value: bytes, coding: str) -> bytes:
    return json.dumps(json.loads(value) | {"coding": coding}).encode()


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("size", [1000, 200, 50, 20])
def test_no_row_of_a_foreign_copy_is_scored(scorer: Scorer, name: str, size: int) -> None:
    """Rows that happen to be valid are refused with their neighbours, whatever the batch size."""
    values, window = copy_records(name), SourceWindow()
    for start in range(0, len(values), size):
        outcomes = reject_foreign_source(scored(values[start : start + size], scorer), window)
        assert not any(isinstance(outcome, Scored) for outcome in outcomes)
        assert codes(outcomes) <= {"foreign_code", "foreign_source"}


@pytest.mark.parametrize("name", [name for name in COPIES if name != "keel"])
def test_copy_with_a_declared_coding_is_scored_as_ucis_rows(scorer: Scorer, name: str) -> None:
    """Its scores have the bytes of UCI's, whether the record or its source declares the coding."""
    expected = encode_scores(scored(uci_records(name), scorer).scores)
    outcomes = reject_foreign_source(scored(copy_records(name, coding=name), scorer), SourceWindow())
    assert expected == [outcome.value for outcome in outcomes if isinstance(outcome, Scored)]
    assert expected == encode_scores(scored(copy_records(name), scorer, name).scores)


def test_the_wrong_coding_changes_the_risk(scorer: Scorer) -> None:
    """A patient of risk 0.33 has 0.88 in the coding that the rest of the file shows."""
    both = scored([PATIENT, named(PATIENT, "kaggle-303")], scorer)
    wrong, right = both.risks
    assert (wrong < 0.5, right > 0.8) == (True, True)


def test_one_typo_does_not_condemn_a_file(scorer: Scorer) -> None:
    """One slope of 0 in 1,190 rows is one rejected row."""
    values = uci_records("statlog") * 4
    values[700] = json.dumps(json.loads(values[700]) | {"slope": 0}).encode()
    outcomes = reject_foreign_source(scored(values, scorer), SourceWindow())
    assert [place for place, each in enumerate(outcomes) if not isinstance(each, Scored)] == [700]
    assert codes(outcomes) == {"foreign_code"}


@pytest.mark.parametrize("coding", ["uci", "statlog"])
def test_a_declared_coding_overrules_the_detection(scorer: Scorer, coding: str) -> None:
    """Records that declare their coding are scored among foreign ones, and do not count as evidence."""
    foreign, own = copy_records("kaggle-303")[:40], [named(value, coding) for value in uci_records("statlog")[:40]]
    outcomes = reject_foreign_source(scored([*foreign, *own], scorer), SourceWindow())
    assert [isinstance(outcome, Scored) for outcome in outcomes] == [False] * 40 + [True] * 40
    declared = [named(value, "uci") for value in copy_records("kaggle-303")]
    window = SourceWindow()
    assert codes(reject_foreign_source(scored(declared, scorer), window)) == {"impossible_code"}
    assert window.is_clean


def test_declared_records_do_not_hide_foreign_ones(scorer: Scorer) -> None:
    """However many records declare their coding, the others are reject_foreign_source by themselves."""
    declared = [named(value, "uci") for value in uci_records("statlog")] * 4
    outcomes = reject_foreign_source(scored([*declared, *copy_records("kaggle-303")[:20]], scorer), SourceWindow())
    assert not any(isinstance(outcome, Scored) for outcome in outcomes[-20:])


def test_corrected_source_is_scored_again(scorer: Scorer) -> None:
    """Only its recent records decide: once they are clean it is scored."""
    window = SourceWindow()
    reject_foreign_source(scored(copy_records("kaggle-303"), scorer), window)
    clean = scored(uci_records("statlog")[: RECENT_RECORDS // 2], scorer)
    assert {*reject_foreign_source(clean, window)} == {Rejected(FOREIGN_SOURCE)}
    assert reject_foreign_source(clean, window) == outcomes_of(clean)


runs = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300)).filter(lambda run: run[1] <= run[0]), max_size=30)


@given(runs)
def test_window_is_the_shortest_that_is_long_enough(evidence: list[tuple[int, int]]) -> None:
    """The rule uses the fewest recent batches that have enough records, and needs one foreign record of ten."""
    window = SourceWindow()
    for end in range(1, len(evidence) + 1):
        start = end
        while start and sum(records for records, _ in evidence[start:end]) < RECENT_RECORDS:
            start -= 1
        records, foreign = (sum(column) for column in zip(*evidence[start:end], strict=True))
        expected = foreign > 0 and foreign >= FOREIGN_SHARE * records + 0.5
        assert window.add([evidence[end - 1]]) == expected
        assert (window.is_foreign, window.is_clean) == (expected, not foreign)


def test_other_issues_are_not_evidence_of_another_coding(scorer: Scorer) -> None:
    """Only a value that is known from another coding counts."""
    window = SourceWindow()
    reject_foreign_source(scored([b"", b"{}", PATIENT.replace(b'"age":62', b'"age":620')], scorer), window)
    assert window.is_clean
    assert FOREIGN_SOURCE[0].code == RejectionCode.FOREIGN_SOURCE
