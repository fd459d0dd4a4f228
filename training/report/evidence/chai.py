"""CHAI Applied Model Card 0.2, as XML: Coalition for Health AI, https://mc.chai.org/v0.2/schema.xsd.

Elements have the names and the order of the schema. An optional element is left out where nothing is known.
"""

from __future__ import annotations

import json
from typing import Any, Final
from xml.etree import ElementTree as ET

import msgspec

from training.estimates import CONFIDENCE
from training.report.evidence import facts
from training.report.evidence.documents import Documents
from training.report.evidence.items import Answer, Fact, Item, Standard, answer

NAMESPACE: Final = "https://mc.chai.org/v0.2/schema.xsd"
_OPTIONAL: Final = frozenset(
    {"ReleaseInfo/RegulatoryApproval", "TransparencyInformation/ThirdPartyInformation", "AISystemFacts/Security"}
)
_LIMITATIONS: Final = "Warnings/KnownRisksAndLimitations"
_TEXT: Final = Fact("Retrospective, by resampling of the training patients; seed {manifest.seed}")


class Metrics(msgspec.Struct, frozen=True):
    """A group of metrics: the path of their estimates, the label and name of each.

    With `each`, the path of an object, they are those of each of its members, and the path is one inside it.
    """

    figures: str
    names: dict[str, str]
    each: str = ""


METRICS: Final = {
    "UsefulnessUsabilityEfficacy": Metrics(
        "report.missing_fields.none.@best.figures",
        {"ROC-AUC": "roc_auc", "Brier score": "brier", "Sensitivity": "recall", "Specificity": "specificity"},
    ),
    "FairnessEquity": Metrics(
        "@best.figures",
        {"ROC-AUC": "roc_auc", "Mean risk minus prevalence": "bias"},
        each="report.full.subgroups",
    ),
    "SafetyReliability": Metrics(
        "report.missing_fields.none.@best.figures", {"Calibration slope": "slope", "Calibration intercept": "intercept"}
    ),
}


def _metric_items(group: str, goal: str, *results: Fact) -> tuple[Item, ...]:
    """Return the texts of a group of metrics, around its results."""
    return (
        Item(f"{group}/MetricGoal", goal, (Fact(goal, see="docs/models.md"),)),
        Item(f"{group}/Interpretation", "What the results mean", results, otherwise=facts.NO_GROUPS),
        Item(f"{group}/TestType", "Kind of test", (_TEXT,)),
        Item(f"{group}/TestingDataDescription", "Patients", (facts.DATA, facts.EXTERNAL)),
        Item(f"{group}/ValidationProcessAndJustification", "Process", (facts.SELECTION, facts.INTERVALS)),
    )


CHAI: Final = Standard(
    "chai",
    "CHAI Applied Model Card 0.2",
    "Coalition for Health AI, schema v0.2",
    "The schema is a draft of its authors.",
    {
        "BasicInfo": (
            Item("BasicInfo/ModelName", "Name", (facts.MODEL,)),
            Item("BasicInfo/ModelDeveloper", "Developer", ask="developer"),
            Item("BasicInfo/DeveloperContact", "Contact", ask="developer"),
        ),
        "ReleaseInfo": (
            Item("ReleaseInfo/ReleaseStage", "Stage", (facts.DISCLAIMER,), "release"),
            Item("ReleaseInfo/ReleaseDate", "Date", ask="release"),
            Item("ReleaseInfo/ReleaseVersion", "Version", (Fact("{manifest.model_version}"),)),
            Item("ReleaseInfo/GlobalAvailability", "Countries", ask="release"),
            Item("ReleaseInfo/RegulatoryApproval", "Approval", ask="regulatory_status"),
        ),
        "ModelSummary": (
            Item("ModelSummary/Summary", "Summary", (facts.INTENDED_USE, facts.OUTCOME, facts.DATA)),
            Item("ModelSummary/Keywords", "Keywords", (Fact("{table.title}"), Fact("{table.outcome.event}"))),
        ),
        "UsesAndDirections": (
            Item("UsesAndDirections/IntendedUseAndWorkflow", "Use", (facts.INTENDED_USE,), "care_pathway"),
            Item("UsesAndDirections/PrimaryIntendedUsers", "Users", (facts.INTENDED_USE,), "intended_users"),
            Item("UsesAndDirections/HowToUse", "How to use", (facts.SCORE, facts.VALIDATION), "decision_role"),
            Item("UsesAndDirections/TargetedPatientPopulation", "Patients", (facts.PATIENTS,), "relevance"),
            Item("UsesAndDirections/CautionedOutOfScopeSettings", "Out of scope", (facts.OUT_OF_SCOPE,)),
        ),
        "Warnings": (
            Item(_LIMITATIONS, "Limitations", (facts.DEFECTS, facts.CAUTIONS)),
            Item("Warnings/KnownBiasesOrEthicalConsiderations", "Biases", (facts.SUBGROUPS,), "fairness"),
            Item("Warnings/ClinicalRiskLevel", "Clinical risk", ask="clinical_risk"),
        ),
        "TrustIngredients/AISystemFacts": (
            Item("AISystemFacts/OutcomesAndOutputs", "Outputs", (facts.OUTCOME, facts.HORIZON, facts.SCORE)),
            Item("AISystemFacts/ModelType", "Kind of model", (facts.MODEL, facts.PARAMETERS)),
            Item("AISystemFacts/InputDataSource", "Source of data", (facts.DATA, facts.WHO), "data_collection"),
            Item("AISystemFacts/OutputAndInputDataTypes", "Types of data", (facts.PREDICTORS, facts.SCORE)),
            Item("AISystemFacts/DevelopmentDataCharacterization", "Data", (facts.TRAINING, facts.CODES, facts.MISSING)),
            Item("AISystemFacts/BiasMitigationApproaches", "Against bias", (facts.SUBGROUP_NAMES,), "fairness"),
            Item("AISystemFacts/OngoingMaintenance", "Maintenance", (facts.MONITORING,), "monitoring_schedule"),
            Item("AISystemFacts/Security", "Security", (facts.SECURITY,)),
        ),
        "TrustIngredients/TransparencyInformation": (
            Item("TransparencyInformation/FundingSource", "Funding", ask="funding"),
            Item("TransparencyInformation/ThirdPartyInformation", "Third parties", ask="third_parties"),
            Item("TransparencyInformation/StakeholdersConsulted", "Consulted", ask="stakeholders"),
        ),
        "KeyMetrics": (
            *_metric_items(
                "UsefulnessUsabilityEfficacy",
                "To distinguish patients with the outcome from those without",
                facts.PERFORMANCE,
                facts.LABELS,
            ),
            *_metric_items("FairnessEquity", "The same results in each group of patients", facts.SUBGROUPS),
            *_metric_items(
                "SafetyReliability", "Risks that equal the observed shares", facts.CALIBRATION, facts.STABILITY
            ),
        ),
        "Resources": (
            Item("Resources/PeerReviewedPublications", "Publications", ask="publications"),
            Item("Resources/PatientConsentOrDisclosure", "Consent", ask="consent"),
        ),
    },
)


def as_xml(documents: Documents) -> bytes:
    """Return the card as XML."""
    root = ET.Element("AppliedModelCard", xmlns=NAMESPACE)
    for section, items in CHAI.sections.items():
        if section == "KeyMetrics":
            _add_metrics(ET.SubElement(root, section), documents)
            continue
        for item in items:
            found = answer(item, documents)
            if item.number not in _OPTIONAL or found.known:
                warnings = [documents.warning] if item.number == _LIMITATIONS and documents.warning else []
                _add(_parent(root, section), item, found, *warnings)
    ET.SubElement(root, "Bibliography")
    ET.indent(root)
    encoded: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return encoded + b"\n"


def _parent(root: ET.Element, section: str) -> ET.Element:
    """Return the element of a section, which is made where it is missing."""
    for name in section.split("/"):
        found = root.find(name)
        root = ET.SubElement(root, name) if found is None else found
    return root


def _add(parent: ET.Element, item: Item, found: Answer, *warnings: str) -> None:
    element = ET.SubElement(parent, item.number.rpartition("/")[2])
    if item.number == "ModelSummary/Keywords":
        for line in found.known:
            ET.SubElement(element, "Keyword").text = line.text
        return
    not_known = [f"Not known: {found.not_known}"] if found.not_known else []
    element.text = "\n\n".join([*warnings, *(line.text for line in found.known), *not_known])


def _add_metrics(parent: ET.Element, documents: Documents) -> None:
    for group, metrics in METRICS.items():
        element = ET.SubElement(parent, group)
        for item in CHAI.sections["KeyMetrics"]:
            if item.number.startswith(f"{group}/"):
                _add(element, item, answer(item, documents))
        results = ET.Element("Results")
        for label, value in metric_values(metrics, documents).items():
            result = ET.SubElement(results, "MetricResult")
            ET.SubElement(result, "Label").text = label
            ET.SubElement(result, "ValueJson").text = json.dumps(value)
        element.insert(1, results)


def metric_values(metrics: Metrics, documents: Documents) -> dict[str, dict[str, Any] | None]:
    """Return each metric by its label. The schema requires one: without any, it is None, labelled "not known"."""
    if metrics.each:
        members = documents.find(metrics.each) or {}
        groups = {f", {key}": documents.inside(member, metrics.figures) for key, member in members.items()}
    else:
        groups = {"": documents.find(metrics.figures)}
    found: dict[str, dict[str, Any] | None] = {
        f"{label}{group}": _estimate(figures[name])
        for group, figures in groups.items()
        for label, name in metrics.names.items()
        if name in (figures or {})
    }
    return found or {"not known": None}


def _estimate(figure: dict[str, float]) -> dict[str, Any]:
    return {
        "kind": "estimate_ci",
        "estimate": figure["value"],
        "lower": figure["low"],
        "upper": figure["high"],
        "level": round(100 * CONFIDENCE),
    }
