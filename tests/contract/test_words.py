"""Words that only this project used do not come back: each has a usual term, which a reader can search for.

A list, not a style checker: a new entry needs a term to write in its place, and a sample that it finds. Where a word
is right in one context, its pattern excludes the context, not the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKED = (
    *(
        "schemas/**/*",
        "runtime/**/*",
        "scoring/**/*",
        "training/**/*",
        "heartstream/**/*",
        "worker/**/*",
        "api/**/*",
        "compose/**/*",
        "k8s/**/*",
        ".github/**/*",
    ),
    *("tests/unit/runtime/*", "tests/unit/schemas/*", "tests/unit/api/*", "tests/unit/scoring/*", "tests/browser/*"),
    *("tests/integration/*", "tests/integration/api/*", "tests/support/*"),
    *("tests/fakes/*", "tests/faults/*", "tests/images/*", "tests/k8s/*", "tests/k8s/inside/*", "tests/simulation/*"),
    *("run", "pyproject.toml", ".ci/*", "requirements/*.sh"),
    *("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/decisions/*.md", "docs/design/**/*"),
    *("docs/site/*", "docs/tutorials/*"),
)
GENERATED_BY_TRAINING = {"docs/model-card.md"}
SUFFIXES = {"", ".py", ".md", ".yaml", ".yml", ".js", ".css", ".html", ".tla", ".toml", ".sh"}
DECISION = re.compile(r"\b\d{4}-[\w-]+\.md")
"""A link to a decision: its file name never changes."""


class Banned(NamedTuple):
    """A word, what to write in its place, and a text that must not pass."""

    pattern: str
    instead: str
    sample: str


BANNED = [
    Banned(r"\b(un)?told\b|\btell(s|ing)?\b", "report, log, show, return, distinguish", "every problem is told once"),
    Banned(r"\b[Ss]olitudes?\b", "consumer recovery", "class Solitude:"),
    Banned(r"\b[Cc]rews?\b", "process pool", "a crew of processes"),
    Banned(r"\b[Ss]hipments?\b", "scored batch, model bundle", "class Shipment:"),
    Banned(r"\b[Ss]hel(f|ves)\b", "model directories", "class Shelf:"),
    Banned(r"\b[Bb]eats?\b(?!/min|\}/min)", "periodic call, tick; beats/min is a unit", "class Beat:"),
    Banned(r"\b[Ll]eaving\b(?! the group| out)", "graceful shutdown", "it is leaving"),
    Banned(
        r"\bElsewhere\(|\belsewhere_|_elsewhere\b", "external validation, other hospitals", "class Elsewhere(Struct)"
    ),
    Banned(r"\bdoors?\b", "interface", "by door"),
    Banned(r"\b[Rr]ooms?\b", "package, module", "the modules of a room"),
    Banned(r"\b[Ww]hom\b", "who, whose, for which", "patients whom the model was trained on"),
    Banned(
        r"(?<!\b[Tt]here )\b(is|are) no (?!longer\b|more\b|different\b|better\b|worse\b)\w+",
        "is not a",
        "the public key is no PEM file",
    ),
    Banned(r"\b(is|are|not|no)_? ?sound\b|\bsound model", "valid, passes its self-check", "its model is not sound"),
    Banned(r"\banew\b", "again", "fetched anew"),
    Banned(r"\bsees? to it\b", "checks", "a check sees to it"),
    Banned(r"\bseldom\b", "rarely", "written seldom"),
    Banned(r"\bagain and again\b|\bevery so many\b", "periodically, every n seconds", "called every so many seconds"),
    Banned(r"\bmend(s|ed|ing)?\b", "fix", "who can mend it"),
    Banned(r"\btroubled?\b", "error, problem", "broker troubled"),
    Banned(r"\bprov(e|es|ed|ing)\b", "verify, check; a test is not a proof", "a model is loaded and proved"),
    Banned(r"\b[Ff]ault_?[Cc]odes?\b|\bexamine[sd]?\b", "rejection code, validate", "def examine(value)"),
    Banned(
        r"\b[Ff]aults? (of|in) (a|the|each|its|this) (record|request|row)s?\b|heartstream:fault",
        "validation issue; a fault is what the fault suite injects",
        "every fault of a record",
    ),
    Banned(r"\b[Gg]olden records?\b", "reference cases", "1,024 golden records"),
    Banned(r"pip install '?heartstream\b", "install_command, docs/installing.md", "pip install 'heartstream[train]'"),
    Banned(r"\bunder way\b|\bon (its|their) way\b", "in flight", "records under way"),
]


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """Each line of the checked texts, with its place."""
    paths = [
        path for glob in CHECKED for path in sorted(Path().glob(glob)) if path.is_file() and path.suffix in SUFFIXES
    ]
    return [
        (f"{path}:{number}", DECISION.sub("", line))
        for path in paths
        if str(path) not in GENERATED_BY_TRAINING
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]


@pytest.mark.parametrize("banned", BANNED, ids=lambda banned: banned.sample)
def test_no_private_word(banned: Banned, lines: list[tuple[str, str]]) -> None:
    """No checked text has the word."""
    pattern = re.compile(banned.pattern)
    assert pattern.search(banned.sample)
    assert [place for place, line in lines if pattern.search(line)] == [], f"write: {banned.instead}"
