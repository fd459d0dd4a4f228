"""`heartstream evaluate`: how a saved model does on labelled patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heartstream.exit_codes import errors_to_exit_codes
from heartstream.extras import train_extra
from heartstream.tables import say, show

if TYPE_CHECKING:
    from training.elsewhere import Elsewhere
    from training.measures import Performance

_FIGURES: Final = {
    "roc_auc": "ROC-AUC",
    "accuracy": "Accuracy",
    "recall": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "bias": "Bias (mean risk less prevalence)",
}
_CALIBRATION: Final = {"slope": "Calibration slope", "intercept": "Calibration intercept", "log_loss": "Log loss"}


def evaluate(model: Path, data: Path, /, *, name: str | None = None, json: Path | None = None) -> None:
    """Evaluate a model directory on labelled patients, with 95% intervals, by group and by what was missing.

    DATA is a CSV with a header (the 13 UCI names and `num`, or `target` with 0 and 1; empty, ? and -9 mean "not
    measured") or a file as UCI publishes it. Copies with Kaggle's codes, an inverted target or many repeated rows are
    refused.

    Example: heartstream evaluate model processed.va.data --json va.json

    Exit codes: 0 evaluated; 65 the model is refused; 69 the data cannot be read or must not be used.

    Args:
        model: The model directory.
        data: The labelled patients.
        name: One of its models; the one that training called best if it is left out.
        json: Write all results here.
    """
    with errors_to_exit_codes():
        with train_extra():
            from training.elsewhere import evaluate_elsewhere  # noqa: PLC0415  # --help should not wait for pandas
            from training.labelled import read_labelled  # noqa: PLC0415  # the same
        found = evaluate_elsewhere(model, name, read_labelled(data))
        if json is not None:
            json.write_bytes(found.as_json())
        _tell(found)


def _tell(found: Elsewhere) -> None:
    from training.markdown import interval  # noqa: PLC0415  # as above
    from training.measures import FEWEST  # noqa: PLC0415  # as above

    say(f"{found.model} {found.model_version} ({found.model_digest})")
    say(f"{found.patients} patients, {found.events} with disease\n")
    if not found.overall.figures:
        say(f"With fewer than {FEWEST} patients of either outcome nothing can be said of how good the model is.")
        return
    show(["", "95% interval"], _overall(found))
    say("Of patients at a risk, how many have disease:")
    show(
        ["mean risk", "patients", "share with disease"],
        ([f"{b.risk:.2f}", str(b.patients), interval(b.share)] for b in found.calibration),
    )
    for title, groups in (("By group:", found.groups), ("By what was missing (commonest):", found.patterns)):
        say(title)
        show(["", "patients", "events", "ROC-AUC", "Sensitivity", "Bias"], _groups(groups))
    say("Labels at other thresholds:")
    show(
        ["threshold", "sensitivity", "specificity", "net benefit", "of acting on all"],
        (
            [
                f"{t.threshold:.2f}",
                f"{t.sensitivity:.2f}",
                f"{t.specificity:.2f}",
                f"{t.net_benefit:+.3f}",
                f"{t.net_benefit_of_treating_all:+.3f}",
            ]
            for t in found.thresholds
        ),
    )


def _overall(found: Elsewhere) -> Iterator[list[str]]:
    from training.markdown import ranged  # noqa: PLC0415  # as above

    for name, title in {**_FIGURES, **_CALIBRATION}.items():
        yield [title, ranged(found.overall, name)]
    yield ["Brier of saying the prevalence", f"{found.prevalence_brier:.2f}"]


def _groups(groups: Mapping[str, Performance]) -> Iterator[list[str]]:
    from training.markdown import ranged  # noqa: PLC0415  # as above

    for name, of in groups.items():
        yield [
            name,
            str(of.patients),
            str(of.events),
            *(ranged(of, figure) for figure in ("roc_auc", "recall", "bias")),
        ]
