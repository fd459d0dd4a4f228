"""Writes evidence documents."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from runtime.files import write_atomically
from training.report.evidence.chai import CHAI, as_xml
from training.report.evidence.documents import Documents
from training.report.evidence.eu_ai_act import EU_AI_ACT
from training.report.evidence.hti_1 import HTI_1
from training.report.evidence.items import Standard, answers
from training.report.evidence.probast_ai import PROBAST_AI
from training.report.evidence.render import as_json, as_markdown
from training.report.evidence.tripod_ai import TRIPOD_AI

STANDARDS: Final = {each.name: each for each in (TRIPOD_AI, PROBAST_AI, CHAI, HTI_1, EU_AI_ACT)}


class Exported(msgspec.Struct, frozen=True):
    """The document of a standard: its name, its items, those of which something is not known, and its files."""

    standard: str
    items: int
    not_known: int
    files: tuple[str, ...]


def export(standard: Standard, documents: Documents, folder: Path) -> Exported:
    """Write a standard's document to a folder, replacing an older one. Raises OSError."""
    found = answers(standard, documents)
    contents = {
        f"{standard.name}.md": as_markdown(standard, found, documents).encode(),
        f"{standard.name}.json": as_json(standard, found, documents),
    }
    if standard is CHAI:
        contents[f"{standard.name}.xml"] = as_xml(documents)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return Exported(standard.title, len(found), sum(bool(each.not_known) for each in found), tuple(contents))
