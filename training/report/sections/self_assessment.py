"""The self-assessment in the model card, by TRIPOD+AI (BMJ 2024) and PROBAST+AI (BMJ 2025), from what a run knows."""

from __future__ import annotations

from training.evaluation.results import Deep, Report

_UNRECORDED = "who the patients are is not recorded; the owner of the data has to judge"


def assessment(report: Report, *, imputes: bool) -> dict[str, str]:
    """Judge a run by each item."""
    return {**_tripod(report, imputes=imputes), **_probast(report)}


def _tripod(report: Report, *, imputes: bool) -> dict[str, str]:
    known, deep = report.population.known, report.deep
    handled = "averages of the training rows" if imputes else "sub-models"
    return {
        "TRIPOD+AI 4-5 source and participants": f"reported: {known.patients}" if known else _UNRECORDED,
        "TRIPOD+AI 7-8 outcome and predictors": "reported, with units; who judged the angiograms is not recorded",
        "TRIPOD+AI 10 sample size": _sample_size(deep),
        "TRIPOD+AI 11 missing data": f"{handled}, the same in development, evaluation and use",
        "TRIPOD+AI 12 analysis": _analysis(report),
        "TRIPOD+AI 14 fairness": (
            f"{'by sex and age' if deep else 'not judged in a quick run'}; race, ethnicity, income: not in the data"
        ),
        "TRIPOD+AI 18 open science": (
            "data, code, seeds and versions are public; no protocol was registered"
            if known
            else "seed, versions and the digest of the rows are reported"
        ),
        "TRIPOD+AI 23-24 performance and updating": f"{_measured(deep)}; a recalibration is described",
    }


def _sample_size(deep: Deep | None) -> str:
    if deep is None:
        return "not judged in a quick run"
    size = deep.sample_size
    asked = max(size.for_shrinkage, size.for_optimism, size.for_prevalence)
    enough = "as many as" if size.patients >= asked else "fewer than"
    return f"reported: {size.patients} patients, {enough} the {asked} that Riley's criteria ask for"


def _analysis(report: Report) -> str:
    deep = report.deep
    parts = ["nested and repeated cross-validation" if deep else "repeated cross-validation"]
    parts += ["external validation"] if deep and deep.elsewhere else []
    first_seen = ", but was not fixed before the results" if report.population.hospital == "cleveland" else ""
    return f"{', '.join(parts)}; the rule of choice is code{first_seen}"


def _measured(deep: Deep | None) -> str:
    if deep is None:
        return "with intervals"
    return "with intervals, by hospital and group" if deep.elsewhere else "with intervals, by group"


def _probast(report: Report) -> dict[str, str]:
    known, size = report.population.known, report.deep.sample_size if report.deep else None
    patients = f"{report.data.rows} patients, {report.data.positives} with disease"
    few = size is not None and size.patients < max(size.for_shrinkage, size.for_optimism, size.for_prevalence)
    return {
        "PROBAST+AI participants": (
            "high risk of bias: only those who were sent to angiography (verification, spectrum)"
            if known
            else f"unclear: {_UNRECORDED}"
        ),
        "PROBAST+AI predictors": (
            "high risk: ca and thal are measured close to the outcome"
            f"{', and were not measured alike in all hospitals' if known else ''}"
        ),
        "PROBAST+AI outcome": (
            "unclear: read by eye, readers may have known the predictors"
            if known
            else "unclear: how the outcome was judged is not recorded"
        ),
        "PROBAST+AI analysis": f"{'high risk' if few else 'unclear'}: {patients}",
        "PROBAST+AI applicability": (
            "high concern: 1980s, referred patients, tests that are rarely done today"
            if known
            else f"unclear: {_UNRECORDED}"
        ),
    }
