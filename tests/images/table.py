"""The findings, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

COLUMNS: Final = ("worker", "gateway", "train", "compose")


class Finding(msgspec.Struct, frozen=True):
    """The result of a law for an image or for compose: a summary, or how it is violated."""

    law: str
    subject: str
    seen: str
    broken: str = ""


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the table as aligned text, one row per law, with all violations below it."""
    laws = list(dict.fromkeys(finding.law for finding in findings))
    rows = [["", *COLUMNS], *([law, *_cells(law, findings)] for law in laws)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    broken = [f"BROKEN: {each.law}, {each.subject}: {each.broken}" for each in findings if each.broken]
    return table + broken


def _cells(law: str, findings: Sequence[Finding]) -> list[str]:
    found = {each.subject: "BROKEN" if each.broken else each.seen for each in findings if each.law == law}
    return [found.get(subject, "") for subject in COLUMNS]


def as_json(findings: Sequence[Finding]) -> bytes:
    """Return all findings as JSON."""
    return msgspec.json.format(msgspec.json.encode({"images": list(findings)}), indent=2) + b"\n"
