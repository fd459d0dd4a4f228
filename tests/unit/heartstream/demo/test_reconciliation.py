"""The demo's reconciliation of records and outcomes."""

from __future__ import annotations

import pickle

from heartstream.demo.patients import FLAWS, demo_records, real_patients
from heartstream.demo.reconciliation import Reconciliation
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import DeadLetter, ModelRef, PatientRecord, Score, Source
from tests.support.uci import validate

HERE = Source("patients", 0, 7)


def score(source: Source) -> Score:
    return Score("p", 0.5, 1, 0.5, ModelRef("m", "1", "d"), "complete", (), (), source=source)


def letter(source: Source) -> DeadLetter:
    return DeadLetter((ValidationIssue(RejectionCode.NOT_JSON, "", "no"),), source)


def test_a_record_with_one_outcome_balances() -> None:
    """One outcome of the right kind leaves nothing open, repeated or wrong."""
    account = Reconciliation()
    account.produced(HERE, good=True, at=0.0)
    account.scored(score(HERE), 1.0)
    assert account.summary().balanced


def test_a_lost_record_does_not_balance() -> None:
    """A record without an outcome is open."""
    account = Reconciliation()
    account.produced(HERE, good=True, at=0.0)
    assert (account.summary().open, account.summary().balanced) == (1, False)


def test_a_repeated_result_does_not_balance() -> None:
    """A second result for a record is counted as repeated."""
    account = Reconciliation()
    account.produced(HERE, good=True, at=0.0)
    account.scored(score(HERE), 1.0)
    account.scored(score(HERE), 2.0)
    assert (account.summary().repeated, account.summary().balanced) == (1, False)


def test_a_valid_record_that_is_dead_lettered_is_wrong() -> None:
    """The kind of the outcome counts too."""
    account = Reconciliation()
    account.produced(HERE, good=True, at=0.0)
    account.dead(letter(HERE), 1.0)
    assert (account.summary().wrong, account.summary().balanced) == (1, False)


def test_a_result_before_its_records_confirmation_is_matched_later() -> None:
    """The worker can be faster than the producer's delivery report."""
    account = Reconciliation()
    account.scored(score(HERE), 1.0)
    account.produced(HERE, good=True, at=0.5)
    account.settle_early(1.5)
    assert account.summary().balanced


def test_the_time_from_record_to_score_is_that_of_timestamps() -> None:
    """Dead letters have none; the median and the 99th percentile are of the last minute, in milliseconds."""
    now = [0.0]
    account = Reconciliation(lambda: now[0])
    for offset in range(100):
        source = Source("patients", 0, offset)
        account.produced(source, good=True, at=5.0)
        account.scored(score(source), 5.0 + offset / 1000)
    other = Source("patients", 1, 0)
    account.produced(other, good=False, at=5.0)
    account.dead(letter(other), 9.0)
    times = account.record_to_score()
    assert times is not None
    assert (round(times.p50), round(times.p99)) == (50, 99)
    now[0] = 61.5
    assert account.record_to_score() is None


def test_every_real_patient_is_a_valid_record() -> None:
    """The demo has 920 valid records."""
    records = [record for record, _ in zip(demo_records(1, 0.0), range(920), strict=False)]
    assert len({record.key for record in records}) == 920
    assert all(isinstance(validate(record.value), PatientRecord) for record in records)


def test_every_flaw_is_rejected() -> None:
    """Each of the 14 ways to break a record makes it invalid."""
    outcomes = {name: validate(flaw(dict(real_patients()[0]))) for name, flaw in FLAWS.items()}
    assert len(outcomes) == 14
    assert not [name for name, outcome in outcomes.items() if isinstance(outcome, PatientRecord)]


def test_no_record_of_the_demo_has_its_neighbours_rejected() -> None:
    """A code of another coding among the first records of a partition would count them as wrong outcomes."""
    outcomes = [validate(record.value) for record, _ in zip(demo_records(1, 1.0), range(5_000), strict=False)]
    codes = {str(issue.code) for outcome in outcomes if not isinstance(outcome, PatientRecord) for issue in outcome}
    assert "foreign_code" not in codes
    assert len(codes) == 11


def test_the_memory_of_a_long_run_is_bounded() -> None:
    """A hundred times as many closed records take no more memory, whatever the order in which they close."""
    sizes = []
    for count in (1_000, 100_000):
        account = Reconciliation()
        for offset in range(count):
            source = Source("patients", offset % 4, (offset // 4) ^ 1)
            account.produced(source, good=True, at=0.0)
            account.scored(score(source), 1.0)
        assert (account.summary().scored, account.summary().balanced) == (count, True)
        sizes.append(len(pickle.dumps(dict(account._closed))))
    assert sizes[1] < sizes[0] + 100
