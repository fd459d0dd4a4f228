"""Regulation (EU) 2024/1689: technical documentation (Annex IV) and record-keeping (Article 12)."""

from __future__ import annotations

from typing import Final

from training.report.evidence import facts
from training.report.evidence.items import Fact, Item, Standard

_ENGINES: Final = Fact("Plain numbers or compiled trees; scikit-learn where neither serves", see="docs/models.md")
_ARCHITECTURE: Final = Fact(
    "A worker for Kafka, a gateway for HTTP and a command share one core", see="docs/architecture.md"
)
_DEPLOYMENT: Final = Fact("Container images, Kubernetes manifests and a Python package", see="docs/deployment.md")
_INTERFACES: Final = Fact("HTTP with JSON, FHIR and CDS Hooks, and a web page", see="docs/http.md")
_OVERSIGHT: Final = Fact(
    "A score has its reasons, interval and warnings; a person can roll back the model", see="docs/models.md"
)

_FAULTS: Final = Fact("Fault tests count the records that are lost or repeated", see="docs/faults.md")
_RISKS_MISSING: Final = Fact(
    "A risk is uncertain where fields are missing: the interval and the label set say how much", see="docs/models.md"
)
_EVENTS: Final = Fact("Worker and gateway log events, each with its fields", see="docs/telemetry.md")
_TRACEABLE: Final = Fact(
    "Each score on Kafka names its record and its model's digest; heartstream verify computes it again",
    see="docs/replay.md",
)
_AUDIT: Final = Fact("The gateway's audit trail has a line for each record, if it is switched on", see="docs/http.md")
_RISK_EVENTS: Final = Fact("Alerts on drift, miscalibration, refused models and rejections", see="docs/runbook.md")
_HISTORY: Final = Fact("The model store keeps every promotion and rollback", see="docs/models.md")
_NOT_BIOMETRIC: Final = Fact("Not applicable: it predicts an outcome ({card.outcome}) and identifies nobody")

EU_AI_ACT: Final = Standard(
    "eu-ai-act",
    "EU AI Act: Annex IV and Article 12",
    "Regulation (EU) 2024/1689",
    "Whether the system is of high risk, and conforms, is for its provider to judge: this document does not say so.",
    {
        "Annex IV, 1 general description": (
            Item("1(a)", "Purpose, provider, version", (facts.INTENDED_USE, facts.MODEL), "developer"),
            Item("1(b)", "Interaction with other systems", (_INTERFACES,), "operation"),
            Item("1(c)", "Software versions", (facts.VERSIONS,)),
            Item("1(d)", "Forms of delivery", (_DEPLOYMENT,), "operation"),
            Item("1(e)", "Hardware", ask="operation"),
            Item("1(f)", "Product that contains it", ask="operation"),
            Item("1(g)", "User interface", (_INTERFACES,), "user_interface"),
            Item("1(h)", "Instructions for use", (facts.DISCLAIMER, facts.OUT_OF_SCOPE), "user_interface"),
        ),
        "Annex IV, 2 elements and development": (
            Item(
                "2(a)",
                "Methods and third-party tools",
                (facts.SELECTION, facts.TUNING, facts.VERSIONS),
                "third_parties",
            ),
            Item("2(b)", "Design choices", (facts.SELECTION, facts.PARAMETERS, facts.THRESHOLD, facts.SCORE)),
            Item("2(c)", "Architecture and resources", (_ARCHITECTURE, _ENGINES), "operation"),
            Item("2(d)", "Data", (facts.DATA, facts.TRAINING, facts.CODES, facts.MISSING), "data_collection"),
            Item("2(e)", "Human oversight", (_OVERSIGHT,), "decision_role"),
            Item("2(f)", "Changes determined in advance", (facts.CHANGE_PLAN, facts.RECALIBRATION)),
            Item(
                "2(g)", "Validation and testing", (facts.PERFORMANCE, facts.CALIBRATION, facts.EXTERNAL, facts.LEAKAGE)
            ),
            Item("2(h)", "Cybersecurity", (facts.SECURITY,)),
        ),
        "Annex IV, 3 to 9": (
            Item(
                "3", "Monitoring, functioning, control", (facts.LABELS, facts.SUBGROUPS, facts.DEFECTS, _RISKS_MISSING)
            ),
            Item("4", "Suitability of the measures", (facts.PERFORMANCE, facts.CALIBRATION, facts.NET_BENEFIT)),
            Item("5", "Risk management system", ask="risk_management"),
            Item("6", "Changes through the lifecycle", (facts.ADAPTED, _HISTORY), "release"),
            Item("7", "Harmonised standards", ask="harmonised_standards"),
            Item("8", "Declaration of conformity", ask="regulatory_status"),
            Item("9", "Monitoring after release", (facts.MONITORING,), "monitoring_schedule"),
        ),
        "Article 12": (
            Item("12(1)", "Events are recorded automatically", (_EVENTS, _TRACEABLE, _AUDIT)),
            Item("12(2)(a)", "Situations of risk, substantial modification", (_RISK_EVENTS, _HISTORY)),
            Item("12(2)(b)", "Monitoring after release", (facts.MONITORING, _TRACEABLE)),
            Item("12(2)(c)", "Monitoring of operation", (_EVENTS, _FAULTS)),
            Item("12(3)", "Biometric identification", (_NOT_BIOMETRIC,)),
        ),
    },
)
