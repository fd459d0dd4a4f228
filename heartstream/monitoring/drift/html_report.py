"""The report: one HTML file that asks for nothing else, in light and dark, and on paper."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from heartstream.monitoring.drift.charts import Bin, edges_of, figure
from heartstream.monitoring.drift.counting import Counted
from heartstream.monitoring.drift.verdict import (
    MISSING_MUCH,
    OUT_OF_RANGE_MUCH,
    PSI_LITTLE,
    PSI_MUCH,
    Verdict,
    much_of,
    number,
    percent,
    word_for,
)
from heartstream.reports.html_page import FEW, as_page, share_of, write_page
from schemas.features import FEATURES, Feature
from scoring.drift import ENOUGH_RECORDS, Drift

_PATTERNS: Final = 12

_MEANS: Final = f"""
<h2 id="means">What this means</h2>
<p>PSI (population stability index) says how differently two groups are spread over the same bins. What chance alone
makes of it is taken off. By the usual rule of thumb, below {PSI_LITTLE:g} there is little to speak of, above
{PSI_MUCH:g} much. Missing is much where a field is missing in {MISSING_MUCH:.0%} of records more or less than among
training patients; out of range is much above {OUT_OF_RANGE_MUCH:.0%} of measured values. Nothing is told of fewer than
{ENOUGH_RECORDS} records.</p>
<p><strong>Nothing here says whether the risks are right.</strong> A model may be right for other patients, and wrong
for patients who look the same. Only outcomes tell: <code>heartstream outcomes</code>.</p>
<h2 id="do">What to do</h2>
<ul>
<li>One field: has a unit, a code or a device changed at its source? Then it is a fault there, to be mended there.</li>
<li>Missing more often: does a source no longer send it?</li>
<li>Many fields at once: these are other patients. Collect outcomes, see how the model does on them
(<code>heartstream evaluate</code>), and train on them if it does badly.</li>
<li>The risks alone: several fields may have changed together, each by little.</li>
<li>None: go on. Other things than these fields may have changed.</li>
</ul>
<h2 id="privacy">What is not in here</h2>
<p>No patient's id and no patient's values: counts over bins that come from the training patients. Fewer than {FEW}
records in a bin or with a pattern are written as that, and drawn as {FEW / 2:g}; shares of records in bins are whole
percents. What is told of a small group is still told of it: mind who gets this file.</p>
"""


def write(counted: Counted, verdict: Verdict, name: str, path: Path) -> None:
    """Write the report; `name` says where records came from. Raises DependencyError."""
    write_page(path, f"Drift: {name}", _content(counted, verdict, name))


def page(counted: Counted, verdict: Verdict, name: str) -> str:
    """Return the report. The same records give the same bytes."""
    return as_page(f"Drift: {name}", _content(counted, verdict, name))


def _content(counted: Counted, verdict: Verdict, name: str) -> str:
    fields = "".join(_field(counted, feature) for feature in FEATURES)
    return (
        f"{_head(counted, verdict, name)}{_overview(counted, verdict)}{_MEANS}{_risks(counted)}{_patterns(counted)}"
        f"<h2>Fields</h2><p>Outlined: training patients. Filled: these records.</p>{fields}"
    )


def _head(counted: Counted, verdict: Verdict, name: str) -> str:
    model, tally = counted.model, counted.tally
    rejected = ", ".join(f"{escape(code)} {count:,}" for code, count in sorted(tally.codes.items()))
    return (
        f"<h1>Drift: {escape(name)}</h1><p>{tally.scored:,} records against the {counted.reference.rows:,} training "
        f"patients of {escape(model.name)} {escape(model.version)} (<code>{escape(model.digest)}</code>).</p>"
        f'<p class="verdict">{_verdict(verdict)}</p>'
        + (f"<p>{tally.rejected:,} records were rejected and are not counted: {rejected}.</p>" if rejected else "")
    )


def _verdict(verdict: Verdict) -> str:
    if verdict.drift.records < ENOUGH_RECORDS:
        return f"Nothing is told: there are fewer than {ENOUGH_RECORDS} records."
    if not verdict.drifts:
        return "No drift: no field and no risk differs much."
    fields = f"{len(verdict.fields)} of {len(FEATURES)} fields differ much"
    return f"Drift: {fields}{', and so do the risks' if verdict.scores else '; the risks do not'}."


def _overview(counted: Counted, verdict: Verdict) -> str:
    drift = counted.drift
    rows = "".join(_row(drift, feature.name) for feature in FEATURES)
    risks = "distributed otherwise" if verdict.scores else ""
    return (
        '<h2>At a glance</h2><table class="wide"><caption>Records against training patients</caption><thead><tr>'
        '<th scope="col">field</th><th scope="col">PSI</th><th scope="col">that is</th><th scope="col">missing, '
        'difference</th><th scope="col">out of range</th><th scope="col">differs much</th></tr></thead><tbody>'
        f'{rows}<tr{_marked(risks)}><th scope="row"><a href="#risks">risks</a></th><td>{number(drift.score_psi)}</td>'
        f"<td>{word_for(drift.score_psi)}</td><td></td><td></td><td>{risks}</td></tr></tbody></table>"
    )


def _row(drift: Drift, name: str) -> str:
    much = ", ".join(much_of(drift, name))
    cells = (
        number(drift.psi[name]),
        word_for(drift.psi[name]),
        percent(drift.missing[name], "+"),
        percent(drift.out_of_range[name]),
        much,
    )
    told = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{_marked(much)}><th scope="row"><a href="#{name}">{name}</a></th>{told}</tr>'


def _marked(much: str) -> str:
    return ' class="much"' if much else ""


def _risks(counted: Counted) -> str:
    trained, found = counted.reference.risks.get(counted.model.name), counted.found_risks
    if trained is None:
        return '<h2 id="risks">Risks</h2><p>The reference has no risks of this model.</p>'
    columns = zip(edges_of(found.edges), trained.counts, found.counts, strict=True)
    bins = [Bin(edge, edge, *counts) for edge, *counts in columns]
    told = f"{_psi(counted.drift.score_psi)} Those of training patients are from models that did not see them."
    return f'<section><h2 id="risks">Risks</h2><p>{told}</p>{figure("Risk", bins)}</section>'


def _patterns(counted: Counted) -> str:
    """Tell the commonest patterns; those of few records, and all beyond a dozen, are put together."""
    common = [pattern for pattern in counted.patterns[:_PATTERNS] if pattern[1] >= FEW]
    others = counted.tally.scored - sum(count for _, count in common)
    told = [*common, *([("all others", others)] if others else [])]
    cells = ((escape(name.replace("+", ", ")), share_of(count, counted.tally.scored)) for name, count in told)
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{share}</td></tr>' for name, share in cells)
    return (
        "<h2>What is missing together</h2><p>The training run kept how often each field was missing, not which "
        'together.</p><table class="wide"><caption>Missing patterns</caption><thead><tr><th scope="col">missing fields'
        f'</th><th scope="col">of these records</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _field(counted: Counted, feature: Feature) -> str:
    trained, found = counted.reference.fields[feature.name], counted.found[feature.name]
    codes = [(f"{code:g}", f"{code:g}: {label}") for code, label in feature.codes]
    names = codes or [(edge, edge) for edge in edges_of(trained.measured.edges)]
    columns = zip(names, trained.measured.counts, found.measured.counts, strict=True)
    bins = [Bin(*name, *counts) for name, *counts in columns]
    low, high = counted.training_range[feature.name]
    unit = f" [{escape(feature.unit)}]" if feature.unit else ""
    told = (
        f"{_psi(counted.drift.psi[feature.name])} Not measured: {trained.missing / counted.reference.rows:.0%} "
        f"of training patients, {share_of(found.missing, counted.tally.scored)} of these records."
        + (f" Training patients: {low:g} to {high:g}." if low <= high else "")
    )
    if not sum(found.measured.counts):
        return f'<section><h3 id="{feature.name}">{feature.name}</h3><p>Not measured in any record.</p></section>'
    return (
        f'<section><h3 id="{feature.name}">{feature.name}</h3><p>{escape(feature.meaning)}{unit}. {told}</p>'
        f"{figure(feature.name, bins)}</section>"
    )


def _psi(value: float | None) -> str:
    return f"PSI is not told: fewer than {ENOUGH_RECORDS} values." if value is None else f"PSI {number(value)}."
