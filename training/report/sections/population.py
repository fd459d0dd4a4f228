"""The sentences of the model card about the patients that train and test the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from training.candidates import MissingValues
from training.data.frames import TRAINING_SITE
from training.data.population import HOSPITALS, Population
from training.evaluation.results import EvaluationReport
from training.report.markdown import listed
from training.report.sections import uci_heart
from training.report.sections.texts import DECISIONS, OTHER_OUTCOMES, PREPARED, REGULATION
from training.report.sections.uci_heart import is_builtin

_CHOSEN: Final = (
    "{rows} were also used to choose the penalty of the regressions and the sizes of the trees, and all of them "
    "to select the best model, so the results are slightly optimistic. Nested tuning, {where}, avoids the former bias."
)
_FIXED: Final = (
    "The best model was selected on the same patients, so its results are slightly optimistic. The penalty of the "
    "regressions and the sizes of the trees are fixed in the program."
)


def training_text(report: EvaluationReport, handled: MissingValues) -> str:
    """Describe the training patients and the handling of missing fields."""
    prepared = uci_heart.PREPARED if is_builtin(report) else PREPARED
    return " ".join(
        [*_who(report), *_counts(report), *_tested(report), prepared, *_incomplete(report.population, handled)]
    )


def _who(report: EvaluationReport) -> Iterator[str]:
    population, rows = report.population, report.data.rows
    known = population.known
    if known is not None:
        selected = uci_heart.SELECTED.get(str(population.hospital))
        phrase = known.patients[0].upper() + known.patients[1:]
        yield f"{phrase}{f'; {selected}' if selected else ''}."
    elif population.who:
        yield f"{population.who[0].upper()}{population.who[1:]}."
    else:
        yield (
            "Who these patients are, where and when they were seen and how they were selected is not recorded: the "
            "owner of the data should add it."
        )
        for site, found in population.also_in.items():
            yield f"{_share(found, rows)} rows are also in the file of {HOSPITALS[site].name} of UCI Heart Disease."


def _tested(report: EvaluationReport) -> Iterator[str]:
    """Describe the test patients of a run that evaluated other hospitals."""
    if report.full is None:
        return
    names = report.full.hospitals
    seen = {hospital.name: hospital.seen for hospital in HOSPITALS.values()}
    tested = [seen.get(names[site], f"of {names[site]}") for site in report.full.other_hospitals]
    if tested:
        yield f"The models are tested, but not trained, on patients {'; '.join(tested)}."
    for site, left in report.full.shared_rows.items():
        yield f"{left} rows of {names[site]} are also in another of the files and are excluded from these tests."


def _counts(report: EvaluationReport) -> Iterator[str]:
    """Describe the patients as their rows show them."""
    population, rows = report.population, report.data.rows
    if is_builtin(report):
        yield uci_heart.ages_and_women(population, rows)
    mostly = [f"{name} ({lacking} of {rows})" for name, lacking in population.missing.items() if 2 * lacking > rows]
    if mostly:
        yield f"Mostly missing: {listed(mostly)}."


def _incomplete(population: Population, handled: MissingValues) -> Iterator[str]:
    if handled is MissingValues.AVERAGED:
        yield "Missing fields of a record are replaced by the mean of the training rows."
        return
    if handled is MissingValues.SPLIT:
        yield "Missing fields are not replaced: each split of a tree sends them to one of its sides."
        return
    yield "A record with missing fields is scored by the sub-model that was trained without these fields."
    if population.incomplete:
        yield (
            f"In a sub-model that uses a field, training rows without it are imputed with the mean of the others; "
            f"{population.incomplete} training rows lack a field."
        )


def chosen_text(report: EvaluationReport) -> str:
    """State how optimistic the results are, because choices were made on the same patients."""
    found, rows = report.population.also_in.get(TRAINING_SITE, 0), report.data.rows
    if not found:
        return _FIXED
    where = "below" if report.full else "in a full run"
    return _CHOSEN.format(rows=f"{_share(found, rows)} rows", where=where)


def out_of_scope(report: EvaluationReport) -> tuple[str, ...]:
    """Return the uses that the model is not for."""
    others = uci_heart.OUT_OF_SCOPE if is_builtin(report) else (OTHER_OUTCOMES,)
    known = report.population.known
    unlike = "people who were not referred for angiography" if known else "patients of another kind"
    return DECISIONS, f"{unlike}: the model was trained on {report.data.population}", *others


def cautions(report: EvaluationReport) -> str:
    """Return the cautions of the card."""
    data = report.data
    risks = f"Risks reflect the prevalence among the training patients, {data.positives / data.rows:.0%}."
    return " ".join([risks, *([uci_heart.OUTCOME_IS_DATED] if report.population.known else []), REGULATION])


def _share(found: int, rows: int) -> str:
    return f"All {rows}" if found == rows else f"{found} of the {rows}"
