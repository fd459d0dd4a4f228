"""HTI-1: the 31 source attributes of a predictive decision support intervention, 45 CFR 170.315(b)(11)(iv)(B)."""

from __future__ import annotations

from typing import Final

from training.report.evidence import facts
from training.report.evidence.items import Fact, Item, Standard

HTI_1: Final = Standard(
    "hti-1",
    "HTI-1 source attributes",
    "45 CFR 170.315(b)(11)(iv)(B)",
    "Source attributes only; the criterion also asks for access to them and for risk management.",
    {
        "1 Details and output": (
            Item("1(i)", "Developer and contact", ask="developer"),
            Item("1(ii)", "Funding", ask="funding"),
            Item("1(iii)", "Value of the output", (facts.SCORE, facts.OUTCOME)),
            Item("1(iv)", "Type of output", (Fact("A prediction: a risk, and a label ({card.outcome})"),)),
        ),
        "2 Purpose": (
            Item("2(i)", "Intended use", (facts.INTENDED_USE, facts.DISCLAIMER)),
            Item("2(ii)", "Intended patients", (facts.PATIENTS,), "care_pathway"),
            Item("2(iii)", "Intended users", (facts.INTENDED_USE,), "intended_users"),
            Item("2(iv)", "Role in decisions", (facts.DISCLAIMER,), "decision_role"),
        ),
        "3 Out of scope": (
            Item("3(i)", "Tasks, situations and patients to be cautious with", (facts.OUT_OF_SCOPE,)),
            Item("3(ii)", "Known risks and limitations", (facts.DEFECTS, facts.CAUTIONS)),
        ),
        "4 Development": (
            Item("4(i)", "Inclusion and exclusion", (facts.PATIENTS, facts.TRAINING_CHECKS), "eligibility"),
            Item("4(ii)", "Demographic variables as input", (facts.PREDICTORS,), "demographics"),
            Item("4(iii)", "Demographic representativeness", (facts.RANGES, facts.CODES), "representativeness"),
            Item("4(iv)", "Relevance to the place of use", (facts.PATIENTS,), "relevance"),
        ),
        "5 Fairness in development": (
            Item("5(i)", "Approach to fair output", (facts.SUBGROUP_NAMES,), "fairness"),
            Item("5(ii)", "Management of bias", (facts.RECALIBRATION,), "fairness"),
        ),
        "6 External validation": (
            Item("6(i)", "Data and setting", (facts.HOSPITALS, facts.EXTERNAL), otherwise=facts.NOT_TESTED),
            Item("6(ii)", "Who tested", ask="external_party"),
            Item("6(iii)", "Demographic representativeness", (facts.HOSPITALS,), "representativeness"),
            Item("6(iv)", "Process", (facts.EXTERNAL, facts.LEFT_OUT), otherwise=facts.NOT_TESTED),
        ),
        "7 Performance": (
            Item("7(i)", "Validity in data of the same source", (facts.PERFORMANCE, facts.CALIBRATION, facts.LABELS)),
            Item("7(ii)", "Fairness in data of the same source", (facts.SUBGROUPS,), otherwise=facts.NO_GROUPS),
            Item("7(iii)", "Validity in other data", (facts.EXTERNAL,), otherwise=facts.NOT_TESTED),
            Item("7(iv)", "Fairness in other data", (facts.EXTERNAL_GROUPS,), otherwise=facts.NOT_TESTED),
            Item("7(v)", "Effect on patients' outcomes", ask="impact"),
        ),
        "8 Maintenance": (
            Item("8(i)", "Monitoring of validity", (facts.MONITORING,), "monitoring_schedule"),
            Item("8(ii)", "Validity in local data", (facts.ADAPTED,), "local_validity"),
            Item("8(iii)", "Monitoring of fairness", ask="monitoring_schedule"),
            Item("8(iv)", "Fairness in local data", ask="local_validity"),
        ),
        "9 Updates": (
            Item("9(i)", "Process and frequency of updates", (facts.CHANGE_PLAN, facts.ADAPTED), "update_schedule"),
            Item("9(ii)", "Correction when risks are found", (facts.RECALIBRATION,), "update_schedule"),
        ),
    },
)
