"""Evidence has the figures of the model directory, and "not known" where it has none."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import msgspec
import pytest

from schemas.errors import ArtifactError, DataError
from scoring.model_artifact import CARD_DATA_FILE, REPORT_FILE
from tests.support.evidence import SERVED, documents, train_draft
from tests.support.model_files import change_byte, replace_file
from training.report.evidence.chai import NAMESPACE, as_xml
from training.report.evidence.documents import RECALIBRATED, Documents, read_documents
from training.report.evidence.export import STANDARDS, export
from training.report.evidence.items import Answer, Verdict, answers, shown
from training.report.evidence.render import as_json, as_markdown
from training.report.evidence.statements import STATEMENTS, read_statements

ROOT: Final = Path(__file__).resolve().parents[4]
SHARED: Final = ROOT.parent / "shared" / "reference" / "chai-applied-model-card-0.2.xsd"
SCHEMA: Final = Path(os.environ.get("CHAI_SCHEMA", SHARED))
XS: Final = "{http://www.w3.org/2001/XMLSchema}"


@pytest.fixture(scope="module")
def uci(model_dir: Path) -> Documents:
    """The documents of the built-in table's model."""
    return read_documents(model_dir)


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    """The documents of a model whose table does not say who the patients are."""
    return read_documents(train_draft(tmp_path_factory.mktemp("draft")))


def answered(name: str, number: str, found: Documents, section: str = "") -> Answer:
    """Return the answer to an item."""
    return next(
        each for each in answers(STANDARDS[name], found) if each.number == number and each.section.startswith(section)
    )


@pytest.mark.parametrize("name", STANDARDS)
def test_each_item_is_answered_or_not_known(name: str, uci: Documents, draft: Documents) -> None:
    """For both tables; and both have the same items."""
    for found in (uci, draft):
        assert all(each.known or each.not_known for each in answers(STANDARDS[name], found))
    assert [each.number for each in answers(STANDARDS[name], uci)] == [
        each.number for each in answers(STANDARDS[name], draft)
    ]


def test_performance_is_that_of_the_report(uci: Documents, draft: Documents) -> None:
    """As the report has it, with its place."""
    for found in (uci, draft):
        lines = answered("tripod-ai", "23a", found).known
        figures = found.contents["report"]["missing_fields"]["none"][found.best]["figures"]
        assert f"ROC-AUC {shown(figures['roc_auc'])}, Brier score {shown(figures['brier'])}" in lines[0].text
        assert f"report.json: missing_fields.none.{found.best}.figures.roc_auc" in lines[0].sources


def test_a_draft_table_leaves_its_patients_unknown(draft: Documents) -> None:
    """Nothing of UCI's patients is said, and what only a person knows is asked for."""
    assert answered("tripod-ai", "6a", draft).known[0].text.endswith("(who they are is not recorded)")
    for number, key in (("6a", "setting"), ("17", "ethics"), ("18a", "funding"), ("18e", "data_sharing")):
        assert answered("tripod-ai", number, draft).not_known == f"{STATEMENTS[key]} (`{key}`)"
    everything = "".join(as_markdown(each, answers(each, draft), draft) for each in STANDARDS.values())
    assert [word for word in ("Cleveland", "UCI", "angiography", "Detrano") if word in everything] == []


def test_the_built_in_table_is_not_about_other_patients(model_dir: Path, tmp_path: Path) -> None:
    """Rows that are not UCI's have neither its statements nor its licence."""
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    report = json.loads((folder / REPORT_FILE).read_bytes())
    report["population"]["hospital"] = None
    replace_file(folder, REPORT_FILE, json.dumps(report).encode())
    found = read_documents(folder)
    assert (found.statements, found.find("table.population.licence")) == ({}, None)


def test_a_statement_answers_and_names_its_file(model_dir: Path, tmp_path: Path) -> None:
    """In one line, whatever characters it has."""
    path = tmp_path / "said.toml"
    path.write_text('funding = "a grant\\n\\u0007of nobody"\n')
    found = answered("tripod-ai", "18a", read_documents(model_dir, path))
    assert (found.not_known, found.known[0].text) == ("", "a grant of nobody")
    assert found.known[0].sources[0].startswith("statement funding in said.toml (SHA-256 ")


def test_every_problem_of_a_statements_file_is_named(tmp_path: Path) -> None:
    """Unknown keys, and answers that are no text."""
    path = tmp_path / "said.toml"
    path.write_text('fundings = "x"\nethics = 3\nfunding = " "\n')
    with pytest.raises(DataError) as caught:
        read_statements(path)
    lines = str(caught.value).splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "said.toml: ethics must be a text that is not empty",
        "said.toml: funding must be a text that is not empty",
        "said.toml: unknown key fundings",
    ]


def test_statements_that_are_not_toml_are_refused(tmp_path: Path) -> None:
    """With the place."""
    path = tmp_path / "said.toml"
    path.write_text("funding = \n")
    with pytest.raises(DataError, match=r"said\.toml is not TOML: .*line 1"):
        read_statements(path)


def test_a_changed_file_is_refused(model_dir: Path, tmp_path: Path) -> None:
    """Evidence is of a verified model directory only."""
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    change_byte(folder / CARD_DATA_FILE)
    with pytest.raises(ArtifactError, match=f"{CARD_DATA_FILE}: has"):
        read_documents(folder)


@pytest.mark.parametrize("content", [b"[3]", b"{", b'{"schema": "heartstream-report/2"}'])
def test_a_report_of_another_version_is_refused(content: bytes, model_dir: Path, tmp_path: Path) -> None:
    """Its fields may have other meanings."""
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    replace_file(folder, REPORT_FILE, content)
    with pytest.raises(ArtifactError, match="of another version"):
        read_documents(folder)


def test_a_model_without_a_report_is_refused(flchain_dir: Path) -> None:
    """It has nothing to take evidence from."""
    with pytest.raises(ArtifactError, match="train the model again"):
        read_documents(flchain_dir)


def test_the_same_model_gives_the_same_bytes(uci: Documents, tmp_path: Path) -> None:
    """And a second export replaces the first."""
    for _ in range(2):
        files = [name for each in STANDARDS.values() for name in export(each, uci, tmp_path).files]
        contents = {name: (tmp_path / name).read_bytes() for name in files}
    export(STANDARDS["chai"], uci, tmp_path / "again")
    assert (tmp_path / "again" / "chai.xml").read_bytes() == contents["chai.xml"]
    assert {path.name for path in tmp_path.iterdir()} == {*contents, "again"}


def test_program_and_reader_get_the_same_answers(uci: Documents, tmp_path: Path) -> None:
    """Every sentence of the JSON document is in the Markdown one."""
    export(STANDARDS["probast-ai"], uci, tmp_path)
    page = (tmp_path / "probast-ai.md").read_text("utf-8")
    items = json.loads((tmp_path / "probast-ai.json").read_bytes())["items"]
    assert all(line["text"] in page for item in items for line in item["known"])
    assert all(f"{item['title']}: **{item['verdict']}**" in page for item in items)


def test_results_before_a_recalibration_are_marked(uci: Documents) -> None:
    """The card's adaptations are quoted, and each form says that all results are from before."""
    made = {"rung": "intercept", "line": {"intercept": -0.7}, "model": SERVED, "patients": 212, "events": 31}
    card = {**uci.contents["card"], "adaptations": [made]}
    found = msgspec.structs.replace(uci, contents={**uci.contents, "card": card})
    text = answered("tripod-ai", "24", found).known[0].text
    assert text.startswith(f"Adaptation (intercept) of {SERVED} not estimable")
    assert "by 212 not estimable, 31 with the outcome" in text
    standard = STANDARDS["tripod-ai"]
    limits = f".//{{{NAMESPACE}}}KnownRisksAndLimitations"
    for shown_of, warning in ((found, RECALIBRATED), (uci, "")):
        made = answers(standard, shown_of)
        assert (RECALIBRATED in as_markdown(standard, made, shown_of)) == bool(warning)
        assert json.loads(as_json(standard, made, shown_of))["warning"] == warning
        text = ET.fromstring(as_xml(shown_of)).findtext(limits) or ""  # noqa: S314  # made here
        assert (RECALIBRATED in text) == bool(warning)


SIZE: Final = {"patients": 300, "for_shrinkage": 200, "for_optimism": 290, "for_prevalence": 300}
TOO_FEW: Final = {**SIZE, "patients": 299}
REGRESSION: Final = {"manifest.best": "logistic_regression"}
BOOSTED: Final = {"manifest.best": "gradient_boosting"}
NOT_SELECTED: Final = {"report.selection.best": "random_forest"}
MEASURED: Final = {"report.missing_fields.none.@best.figures.slope": 1.0}
CURVES: Final = {"thresholds": [{"threshold": 0.5}]}


@pytest.mark.parametrize(
    ("section", "number", "values", "expected"),
    [
        ("Development, 4", "4.1", {**REGRESSION, "report.full.sample_size": SIZE}, Verdict.YES),
        ("Development, 4", "4.1", {**REGRESSION, "report.full.sample_size": TOO_FEW}, Verdict.NO),
        ("Development, 4", "4.1", {"report.full.sample_size": SIZE}, Verdict.PROBABLY_YES),
        ("Development, 4", "4.1", {**BOOSTED, "report.full.sample_size": SIZE}, Verdict.NO_INFORMATION),
        ("Development, 4", "4.1", {**BOOSTED, "report.full.sample_size": TOO_FEW}, Verdict.PROBABLY_NO),
        ("Development, 4", "4.1", {}, Verdict.NO_INFORMATION),
        ("Development, 4", "4.2", {}, Verdict.PROBABLY_YES),
        ("Development, 4", "4.2", {"manifest.best": "random_forest"}, Verdict.YES),
        ("Development, 4", "4.2", {"manifest.best": "imported"}, Verdict.NO_INFORMATION),
        ("Development, 4", "4.3", {"report.population.incomplete": 6}, Verdict.PROBABLY_YES),
        ("Development, 4", "4.3", {"report.population.incomplete": 0}, Verdict.YES),
        ("Development, 4", "4.3", {"manifest.best": "random_forest"}, Verdict.PROBABLY_NO),
        ("Development, 4", "4.4", {}, Verdict.NOT_APPLICABLE),
        ("Development, 4", "4.4", {"manifest.best": "imported"}, Verdict.NO_INFORMATION),
        ("Development, 1", "1.1", {}, Verdict.NO_INFORMATION),
        ("Evaluation, 4", "4.1", {"report.repeats": 10}, Verdict.YES),
        ("Evaluation, 4", "4.1", {}, Verdict.NO_INFORMATION),
        ("Evaluation, 4", "4.2", {"report.data": {"rows": 303, "positives": 139}}, Verdict.PROBABLY_YES),
        ("Evaluation, 4", "4.2", {"report.data": {"rows": 303, "positives": 99}}, Verdict.PROBABLY_NO),
        ("Evaluation, 4", "4.5", {}, Verdict.PROBABLY_YES),
        ("Evaluation, 4", "4.5", {**REGRESSION, "report.full.permuted_labels_roc_auc": 0.51}, Verdict.YES),
        ("Evaluation, 4", "4.5", {**REGRESSION, "report.full.permuted_labels_roc_auc": 0.6}, Verdict.NO),
        ("Evaluation, 4", "4.5", {"report.full.permuted_labels_roc_auc": 0.51}, Verdict.PROBABLY_YES),
        ("Evaluation, 4", "4.5", {"report.full.permuted_labels_roc_auc": 0.6}, Verdict.PROBABLY_NO),
        ("Evaluation, 4", "4.7", {}, Verdict.NO),
        ("Evaluation, 4", "4.7", MEASURED, Verdict.PROBABLY_YES),
        ("Evaluation, 4", "4.7", {**MEASURED, "report.full.curves": CURVES}, Verdict.YES),
        ("Evaluation, 4", "4.7", {**MEASURED, "report.full.curves": CURVES, **NOT_SELECTED}, Verdict.PROBABLY_YES),
    ],
)
def test_an_answer_of_probast_is_derived(section: str, number: str, values: dict[str, Any], expected: Verdict) -> None:
    """From the report's figures, never beyond them."""
    assert answered("probast-ai", number, documents(values), section).verdict == expected


@pytest.mark.parametrize(
    ("number", "section", "named"),
    [
        ("4.1", "Development, 4", "Of the logistic regression: "),
        ("4.5", "Evaluation, 4", "Of the logistic regression: "),
        ("4.5", "Development, 4", "boosted trees"),
    ],
)
def test_a_fact_names_the_model_that_it_is_about(number: str, section: str, named: str) -> None:
    """Two figures of a full run are the logistic regression's, whatever model is served."""
    sizes = {**SIZE, "events": 100, "parameters": 20, "events_per_parameter": 5.0}
    found = documents({"report.full.sample_size": sizes, "report.full.permuted_labels_roc_auc": 0.51})
    assert named in answered("probast-ai", number, found, section).known[0].text


def test_chai_metrics_are_the_reports(uci: Documents) -> None:
    """With their intervals, and "not known" for groups that a quick run does not evaluate."""
    root = ET.fromstring(as_xml(uci))  # noqa: S314  # made here
    results = {
        each.findtext(f"{{{NAMESPACE}}}Label"): json.loads(each.findtext(f"{{{NAMESPACE}}}ValueJson") or "")
        for each in root.iter(f"{{{NAMESPACE}}}MetricResult")
    }
    auc = uci.contents["report"]["missing_fields"]["none"][SERVED]["figures"]["roc_auc"]
    assert results["ROC-AUC"] == {
        "kind": "estimate_ci",
        "estimate": auc["value"],
        "lower": auc["low"],
        "upper": auc["high"],
        "level": 95,
    }
    assert results["not known"] is None


@pytest.mark.skipif(not SCHEMA.is_file(), reason="CHAI's schema does not stand beside the repository")
def test_the_chai_card_is_valid(uci: Documents, draft: Documents) -> None:
    """By the schema that CHAI publishes, without its optional signature, whose schema is another one."""
    etree = pytest.importorskip("lxml.etree")
    schema = etree.parse(SCHEMA).getroot()
    for signed in [*schema.findall(f"{XS}import"), *schema.iterfind(f".//{XS}element[@ref='ds:Signature']")]:
        signed.getparent().remove(signed)
    for found in (uci, draft):
        etree.XMLSchema(schema).assertValid(etree.fromstring(as_xml(found)))


def test_the_sample_of_the_documentation_is_real(uci: Documents) -> None:
    """Its sentences are those of a model of UCI's patients, and its counts those of the standards."""
    page = (ROOT / "docs" / "evidence.md").read_text("utf-8")
    sample = page.split("```text\n**11**")[1].split("```")[0].splitlines()
    standard = STANDARDS["tripod-ai"]
    made = as_markdown(standard, answers(standard, uci), uci)
    assert [line for line in sample if line.startswith("- ") and line not in made] == []
    for name, counts in (("probast-ai", "16 questions about development, 18"), ("hti-1", "| 31 |")):
        assert counts in next(line for line in page.splitlines() if f"`{name}.md`" in line)
