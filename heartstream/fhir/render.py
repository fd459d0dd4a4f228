"""What `heartstream fhir try` prints: a block of lines for each Bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from api.protocols.fhir.latest import ANSWER, PassedOver
from heartstream.fhir.trial import Trial
from heartstream.terminal.printable import printable
from heartstream.terminal.wrapping import wrapped

_LABEL: Final = 15


def render_text(trial: Trial) -> str:
    """Return the lines of a Bundle."""
    if trial.risk is None:
        verdict = "refused"
    else:
        interval = f" (90% interval {trial.interval[0]:.3f} to {trial.interval[1]:.3f})" if trial.interval else ""
        verdict = f"risk {trial.risk:.3f}{interval}"
    lines = [f"{printable(trial.file)}: {verdict}"]
    for label, texts in _rows(trial):
        for place, text in enumerate(texts):
            first = "" if place else label
            lines += wrapped(text, f"  {first}".ljust(_LABEL), " " * _LABEL)
    return "\n".join([*lines, "", ""])


def _rows(trial: Trial) -> Iterator[tuple[str, list[str]]]:
    read = ", ".join(_read(trial, field, date) for field, date in trial.read.items())
    yield "read", [read] if read else []
    yield "passed over", [*map(_of_field, trial.passed_over), *_others(trial)]
    yield "missing", [", ".join(trial.missing)] if trial.missing else []
    yield "error", [f"{each.pointer}: {each.message}" if each.pointer else each.message for each in trial.errors]


def _read(trial: Trial, field: str, date: str | None) -> str:
    dated = f"{field} {date}" if date else field
    return f"{dated} ({ANSWER})" if field in trial.answered else dated


def _of_field(passed: PassedOver) -> str:
    return f"{passed.field} {passed.reason}: {', '.join(_counted(passed.dates))}"


def _counted(dates: tuple[str, ...]) -> list[str]:
    return [f"{date} x {count}" if count > 1 else date for date, count in Counter(dates).items()]


def _others(trial: Trial) -> Iterator[str]:
    others = {
        "Observations of other codes": trial.other_observations,
        "other resources": trial.other_resources,
        "answers to other questions": trial.other_answers,
    }
    if counted := [f"{noun}: {count}" for noun, count in others.items() if count]:
        yield ", ".join(counted)
