"""Evidence documents as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from training.report.evidence.documents import Documents
from training.report.evidence.items import Answer, Standard

SCHEMA = "heartstream-evidence/1"


def as_json(standard: Standard, found: Sequence[Answer], documents: Documents) -> bytes:
    """Return the answers for programs."""
    content = {
        "schema": SCHEMA,
        "standard": standard.title,
        "source": standard.source,
        "note": standard.note,
        "model": documents.name,
        "warning": documents.warning,
        "items": msgspec.to_builtins(found),
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def as_markdown(standard: Standard, found: Sequence[Answer], documents: Documents) -> str:
    """Return the answers for people: after each sentence, the place that it is from."""
    open_items = sum(bool(each.not_known) for each in found)
    parts = [
        f"# {standard.title}: {documents.name}\n",
        f"> {documents.contents['card']['disclaimer']}\n",
        (
            f"Standard: {standard.source}; titles are abbreviated. {standard.note} Every figure is taken from the "
            f"place in parentheses, a file of the model directory. {len(found)} items; of {open_items}, something is "
            "not known.\n"
        ),
    ]
    if documents.warning:
        parts.append(f"**{documents.warning}**\n")
    for section, group in groupby(found, key=lambda each: each.section):
        parts.append(f"## {section}\n")
        parts += map(_item, group)
    return "\n".join(parts)


def _item(answer: Answer) -> str:
    verdict = "" if answer.verdict is None else f": **{answer.verdict}**"
    lines = [f"**{answer.number}** {answer.title}{verdict}\n"]
    lines += [f"- {each.text} ({_places(each.sources)})" for each in answer.known]
    if answer.not_known:
        lines.append(f"- not known: {answer.not_known}")
    return "\n".join(lines) + "\n"


def _places(sources: Sequence[str]) -> str:
    """Return places, the name of each file once."""
    files: dict[str, list[str]] = {}
    for source in sources:
        file, _, inner = source.partition(": ")
        files.setdefault(file, []).append(inner)
    return "; ".join(f"{file}: {', '.join(inner)}" if any(inner) else file for file, inner in files.items())
