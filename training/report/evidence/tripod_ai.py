"""TRIPOD+AI: Collins et al., BMJ 2024;385:e078378. 27 items with 52 subitems; titles in our own words."""

from __future__ import annotations

from typing import Final

from training.report.evidence import facts
from training.report.evidence.items import Fact, Item, Standard

_DEVELOPED: Final = Fact("A model developed and evaluated out of fold by one training run: {manifest.best}")

TRIPOD_AI: Final = Standard(
    "tripod-ai",
    "TRIPOD+AI",
    "Collins et al., BMJ 2024;385:e078378",
    "An item counts as reported only as far as it is answered here.",
    {
        "Title and abstract": (
            Item("1", "Kind of study, population, outcome", (_DEVELOPED, facts.PATIENTS, facts.OUTCOME)),
            Item("2", "Abstract", (facts.MODEL, facts.DATA, facts.OUTCOME, facts.PERFORMANCE, facts.CAUTIONS)),
        ),
        "Introduction": (
            Item("3a", "Context, rationale, existing models", ask="background"),
            Item("3b", "Population, purpose, users", (facts.INTENDED_USE, facts.OUT_OF_SCOPE), "care_pathway"),
            Item("3c", "Known health inequalities", ask="inequalities"),
            Item("4", "Objectives", (_DEVELOPED, facts.INTENDED_USE)),
        ),
        "Methods": (
            Item("5a", "Sources of data", (facts.DATA, facts.WHO, facts.HOSPITALS), "data_collection"),
            Item("5b", "Dates", (facts.PATIENTS,), "dates"),
            Item("6a", "Setting and centres", (facts.PATIENTS, facts.HOSPITALS), "setting"),
            Item("6b", "Eligibility", (facts.PATIENTS, facts.TRAINING_CHECKS), "eligibility"),
            Item("6c", "Treatments", ask="treatments"),
            Item("7", "Data preparation", (facts.TRAINING, facts.TRAINING_CHECKS)),
            Item("8a", "Outcome: definition, horizon", (facts.OUTCOME, facts.HORIZON), "outcome_assessment"),
            Item("8b", "Outcome: assessors", ask="outcome_assessors"),
            Item("8c", "Outcome: blinding", ask="outcome_blinding"),
            Item("9a", "Predictors: choice", (facts.PREDICTORS,), "predictor_choice"),
            Item("9b", "Predictors: definition", (facts.PREDICTORS, facts.REQUIRED), "predictor_measurement"),
            Item("9c", "Predictors: assessors", ask="predictor_assessors"),
            Item("10", "Sample size", (facts.SAMPLE_SIZE, facts.DATA)),
            Item("11", "Missing data", (facts.TRAINING, facts.INCOMPLETE, facts.MISSING, facts.ALL_ROWS)),
            Item("12a", "Use of the data", (facts.COMPARED, facts.INTERVALS, facts.HOSPITALS)),
            Item("12b", "Handling of predictors", (facts.PREPROCESSED, facts.HANDLED, facts.PREDICTORS)),
            Item("12c", "Type of model, tuning", (facts.PARAMETERS, facts.SELECTION, facts.TUNING, facts.REPRODUCIBLE)),
            Item("12d", "Heterogeneity: methods", (facts.HOSPITALS, facts.LEFT_OUT), otherwise=facts.NOT_TESTED),
            Item("12e", "Measures of performance", (facts.PERFORMANCE, facts.CALIBRATION, facts.COMPARED)),
            Item("12f", "Model updating: methods", (facts.RECALIBRATION, facts.ADAPTED)),
            Item("12g", "Computation of predictions", (facts.SAME_RISKS, facts.EQUATION)),
            Item("13", "Class imbalance", (facts.NO_WEIGHTS,)),
            Item("14", "Fairness", (facts.SUBGROUP_NAMES,), "fairness"),
            Item("15", "Model output, threshold", (facts.SCORE, facts.THRESHOLD), "threshold"),
            Item("16", "Training against evaluation data", (facts.EXTERNAL,), "relevance"),
            Item("17", "Ethical approval", ask="ethics"),
        ),
        "Open science": (
            Item("18a", "Funding", ask="funding"),
            Item("18b", "Conflicts of interest", ask="interests"),
            Item("18c", "Protocol", ask="protocol"),
            Item("18d", "Registration", ask="registration"),
            Item("18e", "Data sharing", (facts.LICENCE, facts.DATA), "data_sharing"),
            Item("18f", "Code sharing", (facts.CODE, facts.VERSIONS)),
        ),
        "Patient and public involvement": (Item("19", "Patients and the public", ask="involvement"),),
        "Results": (
            Item("20a", "Flow of participants", (facts.DATA,), "follow_up"),
            Item("20b", "Characteristics", (facts.RANGES, facts.CODES, facts.MISSING, facts.INCOMPLETE)),
            Item("20c", "Comparison of evaluation data", (facts.EXTERNAL,), "representativeness"),
            Item("21", "Participants and events by analysis", (facts.DATA, facts.SAMPLE_SIZE, facts.EXTERNAL)),
            Item("22", "Full model specification", (facts.EQUATION, facts.FILES)),
            Item("23a", "Performance", (facts.PERFORMANCE, facts.CALIBRATION, facts.LABELS, facts.SUBGROUPS)),
            Item("23b", "Heterogeneity: results", (facts.EXTERNAL, facts.LEFT_OUT), otherwise=facts.NOT_TESTED),
            Item("24", "Model updating: results", (facts.ADAPTED,), otherwise=facts.NOT_ADAPTED),
        ),
        "Discussion": (
            Item("25", "Interpretation", (facts.CAUTIONS,), "interpretation"),
            Item("26", "Limitations", (facts.DEFECTS, facts.STABILITY)),
            Item("27a", "Poor or unavailable input", (facts.VALIDATION, facts.FIELDS_MISSING)),
            Item("27b", "Interaction and expertise of users", (facts.INTENDED_USE,), "intended_users"),
            Item("27c", "Next steps", ask="next_steps"),
        ),
    },
)
