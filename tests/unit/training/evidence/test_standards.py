"""The standards are complete, and their facts are paths of files that models have."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from schemas.tables.feature_table import FeatureTable
from scoring.model_artifact import Manifest
from tests.support.evidence import NAMED, documents
from training.evaluation.results import EvaluationReport
from training.report.adapted_card import Adaptation
from training.report.evidence.export import STANDARDS
from training.report.evidence.items import Fact, Item, answer, paths
from training.report.evidence.statements import STATEMENTS
from training.report.model_card import Card

ROOT: Final = Path(__file__).parents[4]
TYPES: Final[dict[str, Any]] = {"manifest": Manifest, "table": FeatureTable, "report": EvaluationReport, "card": Card}
SUBITEMS: Final = {
    "tripod-ai": (
        "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 18a 18b "
        "18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
    ),
    "probast-ai": (
        "1.1 1.2 1.3 2.1 2.2 2.3 2.4 3.1 3.2 3.3 3.4 4.1 4.2 4.3 4.4 4.5 "
        "1.1 1.2 1.3 2.1 2.2 2.3 2.4 3.1 3.2 3.3 3.4 4.1 4.2 4.3 4.4 4.5 4.6 4.7"
    ),
    "hti-1": (
        "1(i) 1(ii) 1(iii) 1(iv) 2(i) 2(ii) 2(iii) 2(iv) 3(i) 3(ii) 4(i) 4(ii) 4(iii) 4(iv) 5(i) 5(ii) 6(i) 6(ii) "
        "6(iii) 6(iv) 7(i) 7(ii) 7(iii) 7(iv) 7(v) 8(i) 8(ii) 8(iii) 8(iv) 9(i) 9(ii)"
    ),
    "eu-ai-act": (
        "1(a) 1(b) 1(c) 1(d) 1(e) 1(f) 1(g) 1(h) 2(a) 2(b) 2(c) 2(d) 2(e) 2(f) 2(g) 2(h) 3 4 5 6 7 8 9 "
        "12(1) 12(2)(a) 12(2)(b) 12(2)(c) 12(3)"
    ),
}
ITEMS: Final = [item for standard in STANDARDS.values() for items in standard.sections.values() for item in items]
FACTS: Final = [*dict.fromkeys(fact for item in ITEMS for fact in item.facts)]


def type_at(path: str) -> Any:
    """Return the type of the values at a path; raises KeyError if the file has no such field."""
    file, *parts = path.split(".")
    if parts[0] == "adaptations":
        file, parts = "adaptation", parts[2:]
    found = {**TYPES, "adaptation": Adaptation}[file]
    for part in parts:
        options = [each for each in get_args(found) if each is not type(None)]
        if get_origin(found) in (Union, UnionType):
            (found,) = options
            options = list(get_args(found))
        found = get_type_hints(found)[part] if issubclass(get_origin(found) or found, msgspec.Struct) else options[-1]
        if found is Ellipsis:
            found = options[0]
    return found


@pytest.mark.parametrize("name", SUBITEMS)
def test_every_item_is_there_once(name: str) -> None:
    """TRIPOD+AI has 52 subitems, PROBAST+AI 16 and 18 questions, HTI-1 31 attributes."""
    sections = STANDARDS[name].sections
    assert [item.number for items in sections.values() for item in items] == SUBITEMS[name].split()
    assert (
        Counter((section, item.number) for section, items in sections.items() for item in items).most_common(1)[0][1]
        == 1
    )


def test_probast_has_16_questions_about_development_and_18_about_evaluation() -> None:
    """Each has an answer, and none is a judgement of risk of bias."""
    sections = STANDARDS["probast-ai"].sections
    parts = Counter(section.partition(",")[0] for section, items in sections.items() for _ in items)
    assert parts == {"Development": 16, "Evaluation": 18}
    assert all(item.verdict for items in sections.values() for item in items)


@pytest.mark.parametrize("path", sorted({path for fact in FACTS for path in paths(fact)}))
def test_every_path_is_a_field_of_its_file(path: str) -> None:
    """A renamed field of the report breaks the standards here, and not silently into "not known"."""
    assert type_at(path)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.text[:40])
def test_a_fact_follows_its_values(fact: Fact) -> None:
    """Another value at any path gives another sentence; a plain one is left out if any value is missing."""
    places = {path: path.replace("*", "member") for path in paths(fact)}
    before = {place: 0.125 + number for number, place in enumerate(places.values())}

    def text(values: dict[str, Any]) -> str:
        lines = answer(Item("", "", (fact,)), documents(values)).known
        return lines[0].text if lines else ""

    for path, place in places.items():
        assert (f"{{?{path}}}" in fact.text) == (text(before) == text({**before, place: 7.5}))
        if not fact.each and place not in NAMED:
            assert text({other: value for other, value in before.items() if other != place}) == ""


def test_no_fact_writes_a_figure_down() -> None:
    """Figures of a model come from its files: sentences have no digits outside of their paths."""
    texts = [re.sub(r"\{[^}]*\}|ISO 8601|SHA-256", "", fact.text) for fact in FACTS if not fact.see]
    assert [text for text in texts if re.search(r"\d", text)] == []


def test_every_statement_is_asked_for_and_every_page_exists() -> None:
    """No key is unused or unknown; a property of the program is described where the fact says."""
    assert {item.ask for item in ITEMS if item.ask} == STATEMENTS.keys()
    assert [fact.see for fact in FACTS if fact.see and not (ROOT / fact.see).is_file()] == []
