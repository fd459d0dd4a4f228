"""What was found, in words: on a terminal, as JSON and as a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

import msgspec

from heartstream.monitoring.compare import charts
from heartstream.monitoring.compare.comparison import Found, LeftOut
from heartstream.monitoring.compare.differences import Compared, Judged
from heartstream.monitoring.outcomes.calibration import ENOUGH, Figures
from heartstream.monitoring.outcomes.render import column
from heartstream.reports.html_page import FEW, share_of, write_page
from heartstream.terminal.printable import printable
from schemas.records import ModelRef
from training.estimates import Estimate

_WIDTH: Final = 76
NOTE: Final = (
    "That two models agree does not make them right, nor that they differ which one is: only outcomes can tell, and "
    "they are known of a part of the patients."
)
_COMPARED: Final = ("observed / expected", "Brier", "calibration slope", "ROC-AUC")
_LEFT_OUT: Final = {
    "unreadable": "are no scores of records",
    "older": "of the challenger are older than those that are held (--last)",
    "without_champion": "of the challenger have no score of the champion on the topic",
    "repeated": "of the challenger came again",
    "rejected": "records are rejected",
}
_MEANS: Final = f"""
<h2>What is not in here</h2>
<p>No patient's id and no record: counts alone. Fewer than {FEW} records are written as that, and drawn as an outline or
as {FEW / 2:g}. What is told of a small group is still told of it: mind who gets this file.</p>
"""


def told(found: Found) -> str:
    """Return all of it as text."""
    lines = [line for compared in found.compared for line in _told(compared)]
    if not lines:
        lines = ["No record was scored by both models.", ""]
    lines += list(_left_out(found.left_out))
    return "\n".join([*lines, textwrap.fill(NOTE, _WIDTH), ""])


def as_json(found: Found) -> bytes:
    """Return all of it as a line of JSON."""
    return msgspec.json.encode({**msgspec.to_builtins(found), "note": NOTE}) + b"\n"


def write(found: Found, path: Path) -> None:
    """Write the page. Raises DependencyError."""
    pages = "".join(_page(compared) for compared in found.compared) or "<p>No record was scored by both models.</p>"
    left_out = "".join(f"<li>{line.strip()}</li>" for line in list(_left_out(found.left_out))[1:-1])
    beside = f"<h2>Left out</h2><ul>{left_out}</ul>" if left_out else ""
    content = f"<h1>Champion and challenger</h1><p>{NOTE}</p>{pages}{beside}{_MEANS}"
    write_page(path, "Champion and challenger", content)


def _told(compared: Compared) -> Iterator[str]:
    yield printable(f"champion    {_named(compared.champion)}")
    yield printable(f"challenger  {_named(compared.challenger)}")
    yield from (f"  {name:26}{text}" for name, text in _figures(compared).items())
    if compared.judged is not None:
        yield from _judged(compared.judged)
    yield ""


def _named(model: ModelRef) -> str:
    return f"{model.name} {model.version} ({model.digest})"


def _figures(compared: Compared) -> dict[str, str]:
    (_, higher), (lower, _) = compared.labels
    return {
        "records": f"{compared.records:,}",
        "other label": f"{compared.other_label:,} ({compared.other_label / compared.records:.1%}): "
        f"{higher:,} from 0 to 1, {lower:,} from 1 to 0",
        "risk, difference": f"{compared.mean_difference:+.4f} on average (challenger less champion)",
        "risk, absolute difference": f"{compared.mean_absolute_difference:.4f} on average, "
        f"{compared.largest_difference:.4f} at most",
    }


def _judged(judged: Judged) -> Iterator[str]:
    yield f"  {f'{judged.outcomes:,} known outcomes':26}{'champion':>24}{'challenger':>24}"
    challenger = _column(judged.challenger)
    yield from (f"  {name:26}{text:>24}{challenger[name]:>24}" for name, text in _column(judged.champion).items())
    yield from textwrap.wrap(_verdict(judged), _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _column(measured: Figures) -> dict[str, str]:
    return {name: text for name, text in column(measured).items() if name in _COMPARED}


def _verdict(judged: Judged) -> str:
    """Say which model was better, as far as so many outcomes can tell."""
    difference: Estimate | None = judged.brier_difference
    if difference is None:
        return f"Which one is better is not told of fewer than {ENOUGH} outcomes."
    by = f"Brier score {difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
    if difference.high < 0:
        return f"The challenger's risks are better: {by}."
    if difference.low > 0:
        return f"The challenger's risks are worse: {by}."
    return f"These outcomes do not show which one is better: {by}."


def _left_out(left_out: LeftOut) -> Iterator[str]:
    counts = msgspec.structs.asdict(left_out)
    if any(counts.values()):
        yield "Left out:"
        yield from (f"  {count:,} {_LEFT_OUT[name]}" for name, count in counts.items() if count)
        yield ""


def _page(compared: Compared) -> str:
    other = share_of(compared.other_label, compared.records)
    rows = "".join(
        f'<tr><th scope="row">champion {label}</th><td>{share_of(row[0], compared.records)}</td>'
        f"<td>{share_of(row[1], compared.records)}</td></tr>"
        for label, row in enumerate(compared.labels)
    )
    return (
        f"<h2>{escape(_named(compared.challenger))} beside {escape(_named(compared.champion))}</h2>"
        f'<p class="verdict">{other} of {compared.records:,} records get another label.</p>'
        f"<p>The challenger's risk is {compared.mean_difference:+.4f} from the champion's on average, "
        f"{compared.mean_absolute_difference:.4f} either way.</p>"
        f"<section><h3>Risks</h3><p>The darker, the more records; outlined: fewer than {FEW}. On the diagonal both "
        "agree.</p>"
        f"{charts.grid(compared)}<table><caption>Labels</caption><thead><tr><td></td>"
        f'<th scope="col">challenger 0</th><th scope="col">challenger 1</th></tr></thead><tbody>{rows}</tbody></table>'
        f"</section><section><h3>Differences</h3>{charts.differences(compared)}</section>"
        + ("" if compared.judged is None else _judged_page(compared.judged))
    )


def _judged_page(judged: Judged) -> str:
    challenger = _column(judged.challenger)
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{text}</td><td>{challenger[name]}</td></tr>'
        for name, text in _column(judged.champion).items()
    )
    picture = charts.reliability(judged) if judged.champion_groups else ""
    return (
        f"<section><h3>Outcomes</h3><p>{escape(_verdict(judged))} "
        f"{'Outlined: champion. Filled: challenger.' if picture else ''}</p>{picture}"
        f'<table><caption>{judged.outcomes:,} known outcomes</caption><thead><tr><td></td><th scope="col">champion</th>'
        f'<th scope="col">challenger</th></tr></thead><tbody>{rows}</tbody></table></section>'
    )
