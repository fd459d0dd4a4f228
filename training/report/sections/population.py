"""What the model card says of the patients that trained the model, and of those that test it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from training.data.frames import TRAINING_SITE
from training.data.population import HOSPITALS, Population
from training.evaluation.results import Report
from training.report.sections.texts import OUT_OF_SCOPE, PREPARED, REGULATION

_SELECTED: Final = {
    "cleveland": "consecutive, without earlier infarction or valve disease (Detrano et al., Am J Cardiol 1989)"
}
"""What is known of how a hospital's patients were selected, beyond that they were referred."""
_CHOSEN: Final = (
    "{rows} were also used to choose the penalty of the regressions and the leaves of the forest, and all of them to "
    "choose the best model: the figures are a little better than new patients would give. Nested tuning, {where}, is "
    "free of the former."
)
_FIXED: Final = (
    "The best model was chosen on the same patients, so its figures are a little better than new patients would give. "
    "The penalty of the regressions and the leaves of the forest are fixed in the program."
)


def training_text(report: Report, *, imputes: bool) -> str:
    """Describe the training patients, and what happens where fields are missing."""
    handled = _incomplete(report.population, imputes=imputes)
    return " ".join([*_who(report), *_counts(report), *_tested(report), PREPARED, *handled])


def _who(report: Report) -> Iterator[str]:
    population, rows = report.population, report.data.rows
    known = population.known
    if known is not None:
        selected = _SELECTED.get(str(population.hospital))
        phrase = known.patients[0].upper() + known.patients[1:]
        yield f"{phrase}{f'; {selected}' if selected else ''}."
    else:
        yield (
            "Who these patients are, where and when they were seen and how they were selected is not recorded: it is "
            "for the owner of the data to write."
        )
        for site, found in population.also_in.items():
            yield f"{_share(found, rows)} rows also stand in the file of {HOSPITALS[site].name} in UCI Heart Disease."


def _tested(report: Report) -> Iterator[str]:
    """Say who tests the model, in a run that asked other hospitals."""
    if report.deep is None:
        return
    names = report.deep.hospitals
    seen = {hospital.name: hospital.seen for hospital in HOSPITALS.values()}
    tested = [seen.get(names[site], f"of {names[site]}") for site in report.deep.elsewhere]
    if tested:
        yield f"The models are tested on, and not trained on, patients {'; '.join(tested)}."
    for site, left in report.deep.shared_rows.items():
        yield f"{left} rows of {names[site]} also stand in another of the files and are left out of those tests."


def _counts(report: Report) -> Iterator[str]:
    """Say what the rows show."""
    population, rows = report.population, report.data.rows
    women, (youngest, oldest) = population.codes["sex"]["0"].patients, population.ages
    share = f"{women} of {rows} ({women / rows:.0%})"
    yield f"The training patients are {youngest:g} to {oldest:g} years old; {share} are women."
    mostly = [f"{name} ({lacking} of {rows})" for name, lacking in population.missing.items() if 2 * lacking > rows]
    if mostly:
        yield f"Mostly missing: {listed(mostly)}."


def _incomplete(population: Population, *, imputes: bool) -> Iterator[str]:
    if imputes:
        yield "A record that lacks fields is scored with the average of the training rows in their place."
        return
    yield "A record that lacks fields is scored by the sub-model that was trained without them."
    if population.incomplete:
        yield (
            f"In sub-models that use a field, training rows that lack it have the average of the others; "
            f"{population.incomplete} training rows lack any."
        )


def chosen_text(report: Report) -> str:
    """Say how far the results flatter the model because choices were made on the same patients."""
    found, rows = report.population.also_in.get(TRAINING_SITE, 0), report.data.rows
    if not found:
        return _FIXED
    where = "below" if report.deep else "in a full run"
    return _CHOSEN.format(rows=f"{_share(found, rows)} rows", where=where)


def out_of_scope(report: Report) -> tuple[str, ...]:
    """List what the model is not for."""
    decisions, *others = OUT_OF_SCOPE
    known = report.population.known
    unlike = "people who were not referred for angiography" if known else "patients of another kind"
    return decisions, f"{unlike}: the model knows {report.data.population}", *others


def cautions(report: Report) -> str:
    """Say what to keep in mind."""
    data = report.data
    risks = f"Risks go with the share of the training patients that has disease, {data.positives / data.rows:.0%}."
    known = "The outcome, 50% narrowing seen by eye in the 1980s, is not what is used today."
    return " ".join([risks, *([known] if report.population.known else []), REGULATION])


def _share(found: int, rows: int) -> str:
    return f"All {rows}" if found == rows else f"{found} of the {rows}"


def listed(names: list[str]) -> str:
    """Join names with commas and "and"."""
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
