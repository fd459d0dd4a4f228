"""The output of `heartstream compare`: text, JSON and an HTML report."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

import msgspec

from heartstream.monitoring.compare import charts
from heartstream.monitoring.compare.comparison import ComparisonResult, LeftOut
from heartstream.monitoring.compare.differences import ModelComparison, OutcomeComparison
from heartstream.monitoring.outcomes.calibration import ENOUGH, CalibrationMetrics
from heartstream.monitoring.outcomes.render import column
from heartstream.reports.html_page import MIN_COUNT, masked_share, write_page
from heartstream.terminal.printable import printable
from heartstream.terminal.wrapping import filled, wrapped
from schemas.records import ModelRef
from training.estimates import Estimate

NOTE: Final = (
    "Agreement does not show that models are accurate, nor disagreement which one is: only outcomes do, and they are "
    "known only for some patients."
)
_COMPARED: Final = ("observed / expected", "Brier", "calibration slope", "ROC-AUC")
_LEFT_OUT: Final = {
    "unreadable": "are not scores of records",
    "older": "of the challenger exceed the number that is kept (--last)",
    "without_champion": "of the challenger have no score of the champion on the topic",
    "repeated": "of the challenger are repeated",
    "rejected": "records are rejected",
}
_PRIVACY: Final = f"""
<h2>Privacy</h2>
<p>This file contains no patient ids and no records, only counts. Counts below {MIN_COUNT} are not shown, and are drawn
as an outline or as {MIN_COUNT / 2:g}. Statements about a small group are still about that group: consider who receives
this file.</p>
"""


def render_text(found: ComparisonResult) -> str:
    """Return the text output."""
    lines = [line for compared in found.compared for line in _comparison_lines(compared)]
    if not lines:
        lines = ["No record was scored by both models.", ""]
    lines += list(_left_out(found.left_out))
    return "\n".join([*lines, filled(NOTE), ""])


def render_json(found: ComparisonResult) -> bytes:
    """Return the output as one line of JSON."""
    return msgspec.json.encode({**msgspec.to_builtins(found), "note": NOTE}) + b"\n"


def write(found: ComparisonResult, path: Path) -> None:
    """Write the HTML report. Raises DependencyError."""
    pages = "".join(_page(compared) for compared in found.compared) or "<p>No record was scored by both models.</p>"
    left_out = "".join(f"<li>{line.strip()}</li>" for line in list(_left_out(found.left_out))[1:-1])
    beside = f"<h2>Excluded</h2><ul>{left_out}</ul>" if left_out else ""
    content = f"<h1>Champion and challenger</h1><p>{NOTE}</p>{pages}{beside}{_PRIVACY}"
    write_page(path, "Champion and challenger", content)


def _comparison_lines(compared: ModelComparison) -> Iterator[str]:
    yield printable(f"champion    {_named(compared.champion)}")
    yield printable(f"challenger  {_named(compared.challenger)}")
    for name, text in _figures(compared).items():
        yield from wrapped(text, f"  {name:26}", " " * 28)
    if compared.by_outcomes is not None:
        yield from _compare_outcomes(compared.by_outcomes)
    yield ""


def _named(model: ModelRef) -> str:
    return f"{model.name} {model.version} ({model.digest})"


def _figures(compared: ModelComparison) -> dict[str, str]:
    (_, higher), (lower, _) = compared.labels
    return {
        "records": f"{compared.records:,}",
        "other label": f"{compared.other_label:,} ({compared.other_label / compared.records:.1%}): "
        f"{higher:,} from 0 to 1, {lower:,} from 1 to 0",
        "risk, difference": f"{compared.mean_difference:+.4f} on average (challenger minus champion)",
        "risk, absolute difference": f"{compared.mean_absolute_difference:.4f} on average, "
        f"{compared.largest_difference:.4f} at most",
    }


def _compare_outcomes(by_outcomes: OutcomeComparison) -> Iterator[str]:
    yield f"  {f'{by_outcomes.outcomes:,} known outcomes':26}{'champion':>24}{'challenger':>24}"
    challenger = _column(by_outcomes.challenger)
    yield from (f"  {name:26}{text:>24}{challenger[name]:>24}" for name, text in _column(by_outcomes.champion).items())
    yield from wrapped(_verdict(by_outcomes), "  ")


def _column(metrics: CalibrationMetrics) -> dict[str, str]:
    return {name: text for name, text in column(metrics).items() if name in _COMPARED}


def _verdict(by_outcomes: OutcomeComparison) -> str:
    """State which model was better, as far as the outcomes show."""
    difference: Estimate | None = by_outcomes.brier_difference
    if difference is None:
        return f"Fewer than {ENOUGH} outcomes do not show which model is better."
    by = f"Brier score {difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
    if difference.high < 0:
        return f"The challenger's risks are better: {by}."
    if difference.low > 0:
        return f"The challenger's risks are worse: {by}."
    return f"These outcomes do not show which model is better: {by}."


def _left_out(left_out: LeftOut) -> Iterator[str]:
    counts = msgspec.structs.asdict(left_out)
    if any(counts.values()):
        yield "Excluded:"
        yield from (f"  {count:,} {_LEFT_OUT[name]}" for name, count in counts.items() if count)
        yield ""


def _page(compared: ModelComparison) -> str:
    other = masked_share(compared.other_label, compared.records)
    rows = "".join(
        f'<tr><th scope="row">champion {label}</th><td>{masked_share(row[0], compared.records)}</td>'
        f"<td>{masked_share(row[1], compared.records)}</td></tr>"
        for label, row in enumerate(compared.labels)
    )
    return (
        f"<h2>{escape(_named(compared.challenger))} against {escape(_named(compared.champion))}</h2>"
        f'<p class="verdict">{other} of {compared.records:,} records get a different label.</p>'
        f"<p>The challenger's risk is {compared.mean_difference:+.4f} from the champion's on average, "
        f"{compared.mean_absolute_difference:.4f} in absolute value.</p>"
        f"<section><h3>Risks</h3><p>Darker means more records; outlined: fewer than {MIN_COUNT}. On the diagonal, "
        "both agree.</p>"
        f"{charts.grid(compared)}<table><caption>Labels</caption><thead><tr><td></td>"
        f'<th scope="col">challenger 0</th><th scope="col">challenger 1</th></tr></thead><tbody>{rows}</tbody></table>'
        f"</section><section><h3>Differences</h3>{charts.differences(compared)}</section>"
        + ("" if compared.by_outcomes is None else _outcomes_section(compared.by_outcomes))
    )


def _outcomes_section(by_outcomes: OutcomeComparison) -> str:
    challenger = _column(by_outcomes.challenger)
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{text}</td><td>{challenger[name]}</td></tr>'
        for name, text in _column(by_outcomes.champion).items()
    )
    picture = charts.reliability(by_outcomes) if by_outcomes.champion_groups else ""
    return (
        f"<section><h3>Outcomes</h3><p>{escape(_verdict(by_outcomes))} "
        f"{'Outlined: champion. Filled: challenger.' if picture else ''}</p>{picture}"
        f"<table><caption>{by_outcomes.outcomes:,} known outcomes</caption><thead><tr><td></td>"
        '<th scope="col">champion</th>'
        f'<th scope="col">challenger</th></tr></thead><tbody>{rows}</tbody></table></section>'
    )
