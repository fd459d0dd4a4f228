"""The drift report as HTML."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from heartstream.monitoring.drift.charts import Bin, bin_names, histograms
from heartstream.monitoring.drift.counting import DriftCounts
from heartstream.monitoring.drift.verdict import (
    MAX_MISSING_CHANGE,
    MAX_OUT_OF_RANGE,
    PSI_LARGE,
    PSI_MODERATE,
    Verdict,
    exceeded_limits,
    number,
    percent,
    psi_level,
)
from heartstream.reports.html_page import MIN_COUNT, as_page, masked_share, write_page
from schemas.tables.feature_table import Feature
from scoring.drift import ENOUGH_RECORDS, Drift

_PATTERNS: Final = 12

_MEANS: Final = f"""
<h2 id="means">How to read this report</h2>
<p>PSI (population stability index) measures how differently two groups are distributed over the same bins, less what
chance alone contributes. As a rule of thumb, below {PSI_MODERATE:g} is small, above {PSI_LARGE:g} large. A change in
missing values is large if a field is missing in {MAX_MISSING_CHANGE:.0%} of records more or less than among training
patients; values out of range are many above {MAX_OUT_OF_RANGE:.0%} of measured values. Fewer than {ENOUGH_RECORDS}
records are not evaluated.</p>
<p><strong>Drift does not show whether risks are accurate.</strong> A model may be accurate for different patients, and
inaccurate for similar ones. Only outcomes show it: <code>heartstream outcomes</code>.</p>
<h2 id="do">What to do</h2>
<ul>
<li>One field: has a unit, a code or a device changed at the source? Then correct it there.</li>
<li>Missing more often: does a source no longer send the field?</li>
<li>Many fields at once: the patients are different. Collect outcomes, evaluate the model on them
(<code>heartstream evaluate</code>), and train on them if it performs badly.</li>
<li>Only the risks: several fields may have changed together, each a little.</li>
<li>None: nothing to do. Things other than these fields may have changed.</li>
</ul>
<h2 id="privacy">Privacy</h2>
<p>This file contains no patient ids and no patient values, only counts in bins defined by the training patients. Counts
below {MIN_COUNT} are not shown, and are drawn as {MIN_COUNT / 2:g}; shares are whole percents. Statements about a small
group are still about that group: consider who receives this file.</p>
"""


def write(counts: DriftCounts, verdict: Verdict, name: str, path: Path) -> None:
    """Write the report; `name` is the source of the records. Raises DependencyError."""
    write_page(path, f"Drift: {name}", _content(counts, verdict, name))


def page(counts: DriftCounts, verdict: Verdict, name: str) -> str:
    """Return the report. The same records give the same bytes."""
    return as_page(f"Drift: {name}", _content(counts, verdict, name))


def _content(counts: DriftCounts, verdict: Verdict, name: str) -> str:
    fields = "".join(_field(counts, feature) for feature in counts.table.features)
    return (
        f"{_head(counts, verdict, name)}{_overview(counts, verdict)}{_MEANS}{_risks(counts)}{_patterns(counts)}"
        f"<h2>Fields</h2><p>Outlined: training patients. Filled: these records.</p>{fields}"
    )


def _head(counts: DriftCounts, verdict: Verdict, name: str) -> str:
    model, tally = counts.model, counts.tally
    rejected = ", ".join(f"{escape(code)} {count:,}" for code, count in sorted(tally.codes.items()))
    return (
        f"<h1>Drift: {escape(name)}</h1><p>{tally.scored:,} records against the {counts.reference.rows:,} training "
        f"patients of {escape(model.name)} {escape(model.version)} (<code>{escape(model.digest)}</code>).</p>"
        f'<p class="verdict">{_verdict(verdict)}</p>'
        + (f"<p>{tally.rejected:,} records were rejected and are not counts: {rejected}.</p>" if rejected else "")
    )


def _verdict(verdict: Verdict) -> str:
    if verdict.drift.records < ENOUGH_RECORDS:
        return f"Not evaluated: fewer than {ENOUGH_RECORDS} records."
    if not verdict.drifts:
        return "No drift: no field exceeds a limit, nor do the risks."
    fields = f"{len(verdict.fields)} of {len(verdict.drift.psi)} fields exceed a limit"
    return f"Drift: {fields}{', and so do the risks' if verdict.scores else '; the risks do not'}."


def _overview(counts: DriftCounts, verdict: Verdict) -> str:
    drift = counts.drift
    rows = "".join(_row(drift, feature.name) for feature in counts.table.features)
    risks = "different distribution" if verdict.scores else ""
    return (
        '<h2>Overview</h2><table class="wide"><caption>Records against training patients</caption><thead><tr>'
        '<th scope="col">field</th><th scope="col">PSI</th><th scope="col">level</th><th scope="col">missing, '
        'difference</th><th scope="col">out of range</th><th scope="col">exceeds limit</th></tr></thead><tbody>'
        f'{rows}<tr{_marked(risks)}><th scope="row"><a href="#risks">risks</a></th><td>{number(drift.score_psi)}</td>'
        f"<td>{psi_level(drift.score_psi)}</td><td></td><td></td><td>{risks}</td></tr></tbody></table>"
    )


def _row(drift: Drift, name: str) -> str:
    much = ", ".join(exceeded_limits(drift, name))
    cells = (
        number(drift.psi[name]),
        psi_level(drift.psi[name]),
        percent(drift.missing[name], "+"),
        percent(drift.out_of_range[name]),
        much,
    )
    text = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{_marked(much)}><th scope="row"><a href="#{name}">{name}</a></th>{text}</tr>'


def _marked(much: str) -> str:
    return ' class="much"' if much else ""


def _risks(counts: DriftCounts) -> str:
    trained, found = counts.reference.risks.get(counts.model.name), counts.found_risks
    if trained is None:
        return '<h2 id="risks">Risks</h2><p>The reference has no risks of this model.</p>'
    columns = zip(bin_names(found.edges), trained.counts, found.counts, strict=True)
    bins = [Bin(edge, edge, *counts) for edge, *counts in columns]
    text = f"{_psi(counts.drift.score_psi)} The risks of training patients are out of fold."
    return f'<section><h2 id="risks">Risks</h2><p>{text}</p>{histograms("Risk", bins)}</section>'


def _patterns(counts: DriftCounts) -> str:
    """Return the most frequent patterns; rare ones, and all beyond a dozen, are combined."""
    common = [pattern for pattern in counts.patterns[:_PATTERNS] if pattern[1] >= MIN_COUNT]
    others = counts.tally.scored - sum(count for _, count in common)
    text = [*common, *([("all others", others)] if others else [])]
    cells = ((escape(name.replace("+", ", ")), masked_share(count, counts.tally.scored)) for name, count in text)
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{share}</td></tr>' for name, share in cells)
    return (
        "<h2>Fields missing together</h2><p>Training records how often each field is missing, not which ones "
        'together.</p><table class="wide"><caption>Missing patterns</caption><thead><tr><th scope="col">missing fields'
        f'</th><th scope="col">of these records</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _field(counts: DriftCounts, feature: Feature) -> str:
    trained, found = counts.reference.fields[feature.name], counts.found[feature.name]
    pairs = zip(map(str, feature.sent), feature.codes, strict=True)
    codes = [(sent, f"{sent}: {meaning}" if meaning != sent else sent) for sent, (_, meaning) in pairs]
    names = codes or [(edge, edge) for edge in bin_names(trained.measured.edges)]
    columns = zip(names, trained.measured.counts, found.measured.counts, strict=True)
    bins = [Bin(*name, *counts) for name, *counts in columns]
    low, high = counts.training_range[feature.name]
    unit = f" [{escape(feature.unit)}]" if feature.unit else ""
    text = (
        f"{_psi(counts.drift.psi[feature.name])} Not measured: {trained.missing / counts.reference.rows:.0%} "
        f"of training patients, {masked_share(found.missing, counts.tally.scored)} of these records."
        + (f" Training patients: {low:g} to {high:g}." if low <= high and not feature.labels else "")
    )
    if not sum(found.measured.counts):
        return f'<section><h3 id="{feature.name}">{feature.name}</h3><p>Not measured in any record.</p></section>'
    return (
        f'<section><h3 id="{feature.name}">{feature.name}</h3><p>{escape(feature.meaning)}{unit}. {text}</p>'
        f"{histograms(feature.name, bins)}</section>"
    )


def _psi(value: float | None) -> str:
    return f"No PSI: fewer than {ENOUGH_RECORDS} values." if value is None else f"PSI {number(value)}."
