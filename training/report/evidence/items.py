"""The items of a standard, and their answers from the documents of a model.

A figure in an answer is never written down: it is a path in braces, replaced by the value that stands there. A fact
of which a value is missing is left out, and what a person has not stated is answered "not known".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from training.report.evidence.documents import Documents
from training.report.evidence.statements import STATEMENTS

PATH: Final = re.compile(r"\{([^{}]+)\}")
KEY: Final = "{@key}"
NOT_ESTIMABLE: Final = "not estimable"
NOTHING_KNOWN: Final = "the model directory has nothing about it"
_SELECTED: Final = (
    "report.full.curves",
    "report.full.instability",
    "report.full.other_hospitals.*.groups",
)
"""What a report has for the model that training selected only."""
_SHORT: Final = 100
"""Numbers below it are shown with three digits."""


class Fact(msgspec.Struct, frozen=True):
    """A sentence of an answer, with paths in braces.

    With `each`, the path of an object, the sentence is repeated for each of its members: `{@key}` is the member's name,
    and a path that starts with a dot is one inside it. A path that starts with a question mark must have a value, which
    is not shown. `see` is the page of the documentation that describes a property of the program, which holds for every
    model, or for those that `heartstream train` made (`trained`).
    """

    text: str
    each: str = ""
    see: str = ""
    trained: bool = False


class Verdict(StrEnum):
    """The answers to a signalling question."""

    YES = "yes"
    PROBABLY_YES = "probably yes"
    PROBABLY_NO = "probably no"
    NO = "no"
    NO_INFORMATION = "no information"
    NOT_APPLICABLE = "not applicable"


class Item(msgspec.Struct, frozen=True):
    """An item of a standard: its number, a short title, what is known, and the key of what a person must state.

    `verdict` answers a signalling question. `otherwise` says what is missing where no person is asked and no fact is
    known.
    """

    number: str
    title: str
    facts: tuple[Fact, ...] = ()
    ask: str = ""
    verdict: Callable[[Documents], Verdict] | None = None
    otherwise: str = NOTHING_KNOWN


class Line(msgspec.Struct, frozen=True):
    """A sentence, and the places that it is taken from."""

    text: str
    sources: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True):
    """The answer to an item. `not_known` is empty if nothing is missing; `verdict` is None unless it is a question."""

    section: str
    number: str
    title: str
    verdict: Verdict | None
    known: tuple[Line, ...]
    not_known: str


class Standard(msgspec.Struct, frozen=True):
    """A standard: the name of its file, title and source, what the document leaves to a person, items by section."""

    name: str
    title: str
    source: str
    note: str
    sections: Mapping[str, tuple[Item, ...]]


def answers(standard: Standard, documents: Documents) -> tuple[Answer, ...]:
    """Answer all items of a standard, in order."""
    return tuple(answer(item, documents, section) for section, items in standard.sections.items() for item in items)


def answer(item: Item, documents: Documents, section: str = "") -> Answer:
    """Answer one item."""
    known = tuple(line for fact in item.facts if (line := _line(fact, documents)) is not None)
    stated = documents.statements.get(item.ask, "")
    not_known = ""
    if stated:
        known = (*known, Line(clean(stated), (f"statement {item.ask} in {documents.source}",)))
    elif item.ask:
        not_known = f"{STATEMENTS[item.ask]} (`{item.ask}`)"
    elif not known:
        not_known = item.otherwise
    verdict = item.verdict(documents) if item.verdict else None
    return Answer(section, item.number, item.title, verdict, known, not_known)


def paths(fact: Fact) -> tuple[str, ...]:
    """Return the paths of a fact; those of a repeated one have `*` for the name of the member."""
    found = (path.removeprefix("?") for path in PATH.findall(fact.text) if f"{{{path}}}" != KEY)
    return tuple(f"{fact.each}.*{path}" if path.startswith(".") else path for path in found)


def _line(fact: Fact, documents: Documents) -> Line | None:
    """Return the sentence of a fact, None if a value is missing."""
    if any(path.startswith(_SELECTED) for path in paths(fact)) and not documents.is_selected:
        return None
    sources = tuple(documents.place(path) for path in paths(fact)) + ((fact.see,) if fact.see else ())
    if fact.each:
        parts = [*_parts(fact, documents)]
        return Line("; ".join(parts), sources) if parts else None
    values = {path: documents.find(path) for path in paths(fact)}
    if None in values.values() or (fact.trained and not documents.is_trained):
        return None
    texts = {f"{{{path}}}": shown(value) for path, value in values.items() if f"{{{path}}}" in fact.text}
    return Line(_filled(fact.text, texts), sources)


def _parts(fact: Fact, documents: Documents) -> Iterator[str]:
    """Yield the sentence for each member, unless all of its values are missing."""
    found = documents.find(fact.each) or {}
    members = found if isinstance(found, dict) else {str(place): each for place, each in enumerate(found)}
    inner = [path for path in PATH.findall(fact.text) if path.startswith(".")]
    for key, member in members.items():
        values = {f"{{{path}}}": documents.inside(member, path[1:]) for path in inner}
        if any(value is not None for value in values.values()):
            texts = {place: NOT_ESTIMABLE if value is None else shown(value) for place, value in values.items()}
            yield _filled(fact.text, {**texts, KEY: clean(key)})


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Replace the paths of a text by their values, and those with a question mark by nothing."""
    return PATH.sub(lambda match: "" if match[0].startswith("{?") else values[match[0]], text)


def shown(value: Any) -> str:
    """Return a value of a document as text: an estimate with its interval, a mean with its standard deviation."""
    if isinstance(value, dict):
        special = _special(value)
        return special or "; ".join(f"{clean(key)}: {_nested(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        texts = [_nested(each) for each in value]
        sentences = all(text.endswith(".") for text in texts)
        return (" " if sentences else "; " if any(isinstance(each, str) for each in value) else ", ").join(texts)
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < _SHORT else f"{value:.6g}"
    return clean(str(value))


def _nested(value: Any) -> str:
    """Return a value inside another one: the members of an object in one pair of parentheses."""
    if not isinstance(value, dict) or _special(value):
        return shown(value)
    return f"({', '.join(f'{clean(key)}: {_nested(inner)}' for key, inner in value.items())})"


def _special(value: dict[str, Any]) -> str:
    """Return an estimate, a mean or a count of patients as text; "" for another object."""
    if value.keys() == {"value", "low", "high"}:
        return f"{shown(value['value'])} ({shown(value['low'])} to {shown(value['high'])})"
    if value.keys() == {"mean", "std"}:
        return f"{shown(value['mean'])} (SD {shown(value['std'])})"
    if value.keys() == {"patients", "events"}:
        return f"{value['events']} of {value['patients']}"
    return ""


def clean(text: str) -> str:
    """Return a text of a stranger in one line, without control characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
