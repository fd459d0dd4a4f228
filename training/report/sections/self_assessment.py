"""The self-assessment in the model card by TRIPOD+AI (BMJ 2024) and PROBAST+AI (BMJ 2025), computed from the report."""

from __future__ import annotations

from training.candidates import MissingValues
from training.evaluation.results import EvaluationReport, FullEvaluation
from training.report.sections.uci_heart import NEAR_THE_OUTCOME, is_builtin

_UNRECORDED = "who the patients are is not recorded; the owner of the data must judge"


def assessment(report: EvaluationReport, handled: MissingValues) -> dict[str, str]:
    """Return the judgement by item."""
    return {**_tripod(report, handled), **_probast(report)}


def _tripod(report: EvaluationReport, handled: MissingValues) -> dict[str, str]:
    known, full = report.population.known, report.full
    return {
        "TRIPOD+AI 4-5 source and participants": f"reported: {known.patients if known else report.population.who}"
        if known or report.population.who
        else _UNRECORDED,
        "TRIPOD+AI 7-8 outcome and predictors": (
            "reported, with units; who read the angiograms is not recorded"
            if is_builtin(report)
            else "reported, with units; how the outcome was determined is not recorded"
        ),
        "TRIPOD+AI 10 sample size": _sample_size(full),
        "TRIPOD+AI 11 missing data": f"{handled}, the same in development, evaluation and use",
        "TRIPOD+AI 12 analysis": _analysis(report),
        "TRIPOD+AI 14 fairness": (
            f"{'by subgroup' if full else 'not assessed in a quick run'}; race, ethnicity, income: "
            f"{'not in the data' if known else 'the owner of the data must judge'}"
        ),
        "TRIPOD+AI 18 open science": (
            "data, code, seeds and versions are public; no protocol was registered"
            if known
            else "seed, versions and the digest of the rows are reported"
        ),
        "TRIPOD+AI 23-24 performance and updating": f"{_measured(full)}; recalibration is described",
    }


def _sample_size(full: FullEvaluation | None) -> str:
    if full is None:
        return "not assessed in a quick run"
    size = full.sample_size
    asked = max(size.for_shrinkage, size.for_optimism, size.for_prevalence)
    enough = "as many as" if size.patients >= asked else "fewer than"
    return f"reported: {size.patients} patients, {enough} the {asked} that Riley's criteria require"


def _analysis(report: EvaluationReport) -> str:
    full = report.full
    parts = ["nested and repeated cross-validation" if full else "repeated cross-validation"]
    parts += ["external validation"] if full and full.other_hospitals else []
    post_hoc = ", but was not fixed before the results" if report.population.hospital == "cleveland" else ""
    return f"{', '.join(parts)}; the selection rule is implemented in code{post_hoc}"


def _measured(full: FullEvaluation | None) -> str:
    if full is None:
        return "with intervals"
    return "with intervals, by hospital and group" if full.other_hospitals else "with intervals, by group"


def _probast(report: EvaluationReport) -> dict[str, str]:
    known, size = report.population.known, report.full.sample_size if report.full else None
    patients = f"{report.data.rows} patients, {report.data.positives} with {report.event}"
    few = size is not None and size.patients < max(size.for_shrinkage, size.for_optimism, size.for_prevalence)
    return {
        "PROBAST+AI participants": (
            "high risk of bias: only patients referred for angiography (verification and spectrum bias)"
            if known
            else f"unclear: {_UNRECORDED}"
        ),
        "PROBAST+AI predictors": (
            f"high risk: {NEAR_THE_OUTCOME}{', and not measured in the same way in all hospitals' if known else ''}"
            if is_builtin(report)
            else "unclear: how close to the outcome the predictors are measured is not recorded"
        ),
        "PROBAST+AI outcome": (
            "unclear: angiograms were read visually, perhaps not blinded to the predictors"
            if known
            else "unclear: how the outcome was determined is not recorded"
        ),
        "PROBAST+AI analysis": f"{'high risk' if few else 'unclear'}: {patients}",
        "PROBAST+AI applicability": (
            "high concern: patients of the 1980s, referred, with tests that are rarely used today"
            if known
            else f"unclear: {_UNRECORDED}"
        ),
    }
