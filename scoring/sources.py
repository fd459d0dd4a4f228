"""Rejects the records of a source in an undeclared coding, unless they name their own."""

from __future__ import annotations

from schemas.errors import DataError, RejectionCode, ValidationIssue
from schemas.tables.feature_table import FeatureTable
from scoring.evidence import SourceWindow
from scoring.pipeline import Results


def foreign_source(table: FeatureTable) -> tuple[ValidationIssue]:
    """Return the issues of a valid record whose source is in another coding."""
    text = (
        "the record is valid, but others of its source are in another coding of this data, so its codes may mean "
        f"something else: set the coding of the whole source, in coding or with --coding, to one of {_choice(table)}"
    )
    return (ValidationIssue(RejectionCode.FOREIGN_SOURCE, "", text),)


def reject_foreign_source(results: Results, window: SourceWindow, table: FeatureTable) -> Results:
    """Reject the scores of a batch of one source if its last records show another coding.

    `window` is that of the source. Records that name their coding are ignored, and stay scored. Takes a microsecond for
    a batch of any size without foreign records.
    """
    return results.without_undeclared(foreign_source(table)) if window.add(results.evidence()) else results


def refuse_foreign(name: str, records: int, table: FeatureTable) -> DataError:
    """Return the error for a file whose first `records` records show another coding."""
    return DataError(
        f"{name} is in another coding of this data than {table.own_coding}, as its first {records:,} records show; "
        f"nothing was scored. Set --coding to one of {_choice(table)}"
    )


def _choice(table: FeatureTable) -> str:
    return f"{', '.join(table.foreign_codings)}, or to {table.own_coding} if it is the feature table's own"
