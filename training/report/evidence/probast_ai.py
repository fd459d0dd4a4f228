"""PROBAST+AI: Moons et al., BMJ 2025;388:e082505. 16 questions about development, 18 about evaluation.

Titles are in our own words. A question is answered only by what a training run shows; the concern of each domain, and
applicability, are for a person to judge.
"""

from __future__ import annotations

from typing import Final

from training.candidates import GRADIENT_BOOSTING, LOGISTIC_REGRESSION, PATTERN_SUBMODELS
from training.report.evidence import facts
from training.report.evidence.documents import Documents
from training.report.evidence.items import Fact, Item, Standard, Verdict

ENOUGH_OUTCOMES: Final = 100
"""Patients of either outcome for a precise evaluation: Collins et al., Statistics in Medicine 2016."""
CHANCE: Final = 0.05
"""How far from a half the ROC-AUC of permuted labels may be without leakage."""
_SAME: Final = Fact("All patients have the same definitions, units and codes, those of the feature table {table.name}")
_PENALISED: Final = Fact(
    "The regressions have a penalty, the forest a least number of patients in a leaf, the boosted trees a penalty, few "
    "leaves and a low learning rate",
    see="docs/models.md",
    trained=True,
)
_DOMAIN: Final = "The model card on this domain: {card.assessment.PROBAST+AI %s}"


def _no_information(_documents: Documents) -> Verdict:
    return Verdict.NO_INFORMATION


def _if_trained(verdict: Verdict, documents: Documents) -> Verdict:
    return verdict if documents.is_trained else Verdict.NO_INFORMATION


def _preprocessing(documents: Documents) -> Verdict:
    return _if_trained(Verdict.YES, documents)


def _sample_size(documents: Documents) -> Verdict:
    """Yes if all of Riley's criteria are met, for the logistic regression that they are computed for.

    Sub-models are regressions of the same columns. Trees need more patients than a regression: that it has enough says
    nothing of them.
    """
    size = documents.find("report.full.sample_size")
    if size is None or not documents.is_trained:
        return Verdict.NO_INFORMATION
    is_met = size["patients"] >= max(size["for_shrinkage"], size["for_optimism"], size["for_prevalence"])
    if documents.best == LOGISTIC_REGRESSION:
        return Verdict.YES if is_met else Verdict.NO
    met = Verdict.PROBABLY_YES if documents.best == PATTERN_SUBMODELS else Verdict.NO_INFORMATION
    return met if is_met else Verdict.PROBABLY_NO


def _predictors(documents: Documents) -> Verdict:
    """Trees are not linear; a regression is linear in each quantity."""
    linear = documents.best in (LOGISTIC_REGRESSION, PATTERN_SUBMODELS)
    return _if_trained(Verdict.PROBABLY_YES if linear else Verdict.YES, documents)


def _missing(documents: Documents) -> Verdict:
    """Sub-models and trees that take missing values suit prediction; the mean distorts risks where much is missing."""
    if documents.is_trained and documents.find("report.population.incomplete") == 0:
        return Verdict.YES
    suited = documents.best in (PATTERN_SUBMODELS, GRADIENT_BOOSTING)
    return _if_trained(Verdict.PROBABLY_YES if suited else Verdict.PROBABLY_NO, documents)


def _imbalance(documents: Documents) -> Verdict:
    return _if_trained(Verdict.NOT_APPLICABLE, documents)


def _overfitting(documents: Documents) -> Verdict:
    return _if_trained(Verdict.YES, documents)


def _beyond_apparent(documents: Documents) -> Verdict:
    return Verdict.NO_INFORMATION if documents.find("report.repeats") is None else Verdict.YES


def _evaluated(documents: Documents) -> Verdict:
    """Return whether there are enough patients of either outcome."""
    rows, positives = documents.find("report.data.rows"), documents.find("report.data.positives")
    if rows is None or positives is None:
        return Verdict.NO_INFORMATION
    return Verdict.PROBABLY_YES if min(positives, rows - positives) >= ENOUGH_OUTCOMES else Verdict.PROBABLY_NO


def _leakage(documents: Documents) -> Verdict:
    """Permuted labels show leakage; a quick run does not try them, and a full one with the logistic regression only."""
    permuted = documents.find("report.full.permuted_labels_roc_auc")
    if permuted is None or not documents.is_trained:
        return _if_trained(Verdict.PROBABLY_YES, documents)
    is_chance = abs(permuted - 0.5) <= CHANCE
    if documents.best == LOGISTIC_REGRESSION:
        return Verdict.YES if is_chance else Verdict.NO
    return Verdict.PROBABLY_YES if is_chance else Verdict.PROBABLY_NO


def _resampling(documents: Documents) -> Verdict:
    """The selection of the best model is not repeated in the folds."""
    return _if_trained(Verdict.PROBABLY_NO, documents)


def _measures(documents: Documents) -> Verdict:
    """Discrimination and calibration are always measured, net benefit by a full run, of the selected model only."""
    if documents.find("report.missing_fields.none.@best.figures.slope") is None:
        return Verdict.NO
    has_net_benefit = documents.is_selected and documents.find("report.full.curves") is not None
    return Verdict.YES if has_net_benefit else Verdict.PROBABLY_YES


def _first_domains(*, evaluation: bool) -> dict[str, tuple[Item, ...]]:
    """Return the domains that both parts ask about in the same words."""
    part = "Evaluation" if evaluation else "Development"
    places = (facts.DATA, facts.EXTERNAL) if evaluation else (facts.DATA,)
    unanswered = _no_information
    return {
        f"{part}, 1 participants and data sources": (
            Item("1.1", "Appropriate sources of data", (*places, facts.WHO), "data_collection", unanswered),
            Item("1.2", "Appropriate study design", (facts.PATIENTS,), "data_collection", unanswered),
            Item("1.3", "Representative patients", (Fact(_DOMAIN % "participants"),), "eligibility", unanswered),
        ),
        f"{part}, 2 predictors": (
            Item("2.1", "Defined and assessed alike", (_SAME,), "predictor_measurement", unanswered),
            Item("2.2", "Preprocessed alike", (facts.PREPROCESSED,), verdict=_preprocessing),
            Item("2.3", "Assessed without the outcome", ask="predictor_measurement", verdict=unanswered),
            Item(
                "2.4",
                "Available when the model is used",
                (facts.REQUIRED, Fact(_DOMAIN % "predictors")),
                "predictor_measurement",
                unanswered,
            ),
        ),
        f"{part}, 3 outcome": (
            Item("3.1", "Appropriate definition", (facts.OUTCOME,), "outcome_assessment", unanswered),
            Item("3.2", "Defined and assessed alike", (_SAME,), "outcome_assessment", unanswered),
            Item(
                "3.3",
                "Assessed without the predictors",
                (Fact(_DOMAIN % "outcome"),),
                "outcome_blinding",
                unanswered,
            ),
            Item("3.4", "Appropriate interval", (facts.HORIZON,), "predictor_measurement", unanswered),
        ),
    }


PROBAST_AI: Final = Standard(
    "probast-ai",
    "PROBAST+AI",
    "Moons et al., BMJ 2025;388:e082505",
    "The answers are what the training run shows. The concern of each domain, risk of bias, applicability and the "
    "overall judgement are left to a person: this document makes none, and quotes the model card's where it has one.",
    {
        **_first_domains(evaluation=False),
        "Development, 4 analysis": (
            Item("4.1", "Reasonable sample size", (facts.SAMPLE_SIZE,), otherwise=facts.QUICK, verdict=_sample_size),
            Item(
                "4.2",
                "Handling of continuous and categorical predictors",
                (facts.HANDLED, facts.PREDICTORS),
                verdict=_predictors,
            ),
            Item(
                "4.3",
                "Missing data",
                (facts.TRAINING, facts.INCOMPLETE, facts.MISSING, facts.ALL_ROWS),
                verdict=_missing,
            ),
            Item("4.4", "Recalibrated after class imbalance", (facts.NO_WEIGHTS,), verdict=_imbalance),
            Item("4.5", "Overfitting", (_PENALISED, facts.PARAMETERS, facts.TUNING), verdict=_overfitting),
        ),
        **_first_domains(evaluation=True),
        "Evaluation, 4 analysis": (
            Item(
                "4.1", "More than apparent performance", (facts.PERFORMANCE, facts.EXTERNAL), verdict=_beyond_apparent
            ),
            Item("4.2", "Reasonable sample size", (facts.DATA, facts.EXTERNAL), verdict=_evaluated),
            Item("4.3", "Missing data", (facts.TRAINING, facts.FIELDS_MISSING), verdict=_missing),
            Item("4.4", "Evaluated without correction of imbalance", (facts.NO_WEIGHTS,), verdict=_imbalance),
            Item("4.5", "No leakage", (facts.LEAKAGE, facts.TRAINING_CHECKS, facts.PREPROCESSED), verdict=_leakage),
            Item("4.6", "All steps repeated in resampling", (facts.SELECTION, facts.TUNED), verdict=_resampling),
            Item(
                "4.7",
                "Measures of performance",
                (facts.PERFORMANCE, facts.CALIBRATION, facts.NET_BENEFIT),
                verdict=_measures,
            ),
        ),
    },
)
