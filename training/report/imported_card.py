"""The card of an imported model: what its import found out, and what nobody here knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from training.evaluation.external_validation import ExternalValidation
from training.evaluation.metrics import Performance
from training.report.markdown import metric_with_interval, table

EVALUATION_FILE: Final = "evaluation.json"
"""Not report.json, which has cross-validated results of models that were trained here."""
_OVERALL: Final = {
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "slope": "calibration slope (ideal: 1)",
    "intercept": "calibration intercept (ideal: 0)",
    "bias": "mean risk minus prevalence",
    "recall": "sensitivity",
    "specificity": "specificity",
}
_PARTS: Final = ("roc_auc", "brier", "bias")
NOT_KNOWN: Final = (
    "Which patients trained the model, how they were selected, and how the model was chosen and validated.",
    "Intended use and cautions: they have to be asked of who made the file.",
    "Intervals, label sets, reasons and the fields to measure next: they are null in scores.",
    "What the pipeline does with missing values: scores only name the missing fields.",
)


class ImportedCard(msgspec.Struct, frozen=True):
    """The machine-readable card.

    `origin` is the file's name or its URI in MLflow, `sha256` its content's, `trusted_source` who made it, as stated by
    the person who imported it. `pipeline` is its class, `params` its classifier's, `positive` the class whose
    probability is the risk. `difference` is the largest one between `engine` and scikit-learn, None if scikit-learn
    itself is used, for `fallback_reason`. `unused` are fields that change no risk. `held_out` says that the person
    states that none of the evaluated patients trained the model; otherwise that is not known. `evaluation` is the file
    with all results.
    """

    schema: str
    model: str
    model_version: str
    disclaimer: str
    outcome: str
    origin: str
    sha256: str
    trusted_source: str
    pipeline: str
    params: dict[str, str | int | float | bool | None]
    columns: tuple[str, ...]
    positive: str
    engine: str
    fallback_reason: str | None
    difference: float | None
    unused: tuple[str, ...]
    data: str
    held_out: bool
    threshold: float
    versions: Mapping[str, str]
    not_known: tuple[str, ...] = NOT_KNOWN
    evaluation: str = EVALUATION_FILE

    def as_json(self) -> bytes:
        """Return the card as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def as_markdown(card: ImportedCard, evaluation: ExternalValidation) -> str:
    """Return the card as Markdown."""
    return "\n".join(
        [
            f"# Model card: {card.model}, version {card.model_version}\n",
            f"> {card.disclaimer}\n",
            *_origin(card),
            "## Not known\n\n" + "".join(f"- {line}\n" for line in card.not_known),
            *_evaluation(card, evaluation),
            f"## Versions\n\nThreshold {card.threshold:g}; "
            + ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
            + ".\n",
        ]
    )


def _origin(card: ImportedCard) -> Iterator[str]:
    yield (
        f"## Origin\n\nImported from {card.origin} (SHA-256 `{card.sha256}`), made by {card.trusted_source}, as stated "
        f"at the import: {card.pipeline}. The risk is the probability of its class {card.positive}: {card.outcome}.\n"
    )
    yield f"It was fitted on the columns {', '.join(card.columns)}, in this order.\n"
    if card.difference is None:
        yield f"scikit-learn itself computes the risks, because {card.fallback_reason}.\n"
    else:
        yield (
            "Compiled to ONNX: on the reference cases and all evaluated patients its risks differ from scikit-learn's "
            f"by {card.difference:.1e} at most.\n"
        )
    if card.unused:
        yield (
            f"No risk depends on {', '.join(card.unused)}: these fields have no weight, or the pipeline expects their "
            "values in another form.\n"
        )


def _evaluation(card: ImportedCard, found: ExternalValidation) -> Iterator[str]:
    trained = (
        "None of them trained the model, as stated at the import."
        if card.held_out
        else "**Whether they trained the model is not known: if they did, the results are too optimistic.**"
    )
    yield (
        f"## Evaluation\n\n{card.data}: {found.patients} patients, {found.events} with {found.event}. {trained} "
        f"Training ranges and drift are compared with these patients. Intervals are 95% bootstrap intervals; all "
        f"results are in `{card.evaluation}`.\n"
    )
    yield table(
        ["metric", "value"], ([title, metric_with_interval(found.overall, key)] for key, title in _OVERALL.items())
    )
    yield f"Brier score of predicting the prevalence for everybody: {found.prevalence_brier:.2f}.\n"
    yield from _parts("By missing fields, most frequent first:", found.patterns)
    yield from _parts("By group:", found.groups)


def _parts(title: str, parts: Mapping[str, Performance]) -> Iterator[str]:
    if parts:
        yield f"{title}\n"
        yield table(
            ["", "patients", "events", *(_OVERALL[key] for key in _PARTS)],
            (
                [name, str(of.patients), str(of.events), *(metric_with_interval(of, key) for key in _PARTS)]
                for name, of in parts.items()
            ),
        )
