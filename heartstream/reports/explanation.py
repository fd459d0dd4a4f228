"""The output of `heartstream explain`: one score in words."""

from __future__ import annotations

import math
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from heartstream.terminal.wrapping import wrapped
from schemas.codec import decode_score, encode_scores
from schemas.errors import DependencyError, ValidationIssue
from schemas.records import MOST_REASONS, Details, Reason, Score, WarningCode
from schemas.tables.feature_table import Feature
from scoring.batches import JsonBatch
from scoring.features import Matrix
from scoring.scorer import Scorer
from scoring.wording import INTERVAL, single_label, uncertain

_BAR_LOG_ODDS: Final = 0.1
"""Log-odds per block of a bar; more, if a bar would exceed `_BAR_BLOCKS`."""
_BAR_BLOCKS: Final = 20
_LINEAR: Final = "logistic_regression"
_CERTAIN: Final = 0.9995
"""Higher risks would round to 100.0%, which no model can know."""


class Explanation(msgspec.Struct, frozen=True):
    """A record and its score, with the contribution of every field if the model provides it.

    `row` (1, fields) holds the record's values in the table's coding, whatever its own coding is.
    """

    row: Matrix
    score: Score
    model: Scorer

    def as_json(self) -> str:
        """Return the score as one line of JSON."""
        return msgspec.json.encode(self.score).decode() + "\n"

    def as_text(self, *, bars: bool) -> str:
        """Return the explanation; with `bars`, contributions are drawn."""
        return (
            "\n".join(
                [
                    *_verdict(self),
                    "",
                    *_contributions(self, bars=bars),
                    "",
                    *wrapped(self.model.manifest.data.disclaimer),
                ]
            )
            + "\n"
        )


def read(path: Path) -> bytes:
    """Return the record from a file or standard input. Raises DependencyError."""
    if str(path) == "-" and sys.stdin.isatty():
        sys.stderr.write("heartstream: type or paste a patient record, then Ctrl-D (or give a file: --help)\n")
    try:
        value = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    return value.removeprefix(BOM_UTF8)


def explain_record(
    value: bytes, model: Path, name: str | None, public_key: bytes | None
) -> Explanation | tuple[ValidationIssue, ...]:
    """Score one record; returns its errors if it is rejected. Raises ArtifactError."""
    scorer = Scorer.from_directory(model, name, Details(reasons=MOST_REASONS), public_key)
    results = scorer.score(JsonBatch([value]).decode(scorer.compiled))
    if results.rejected:
        return results.rejected[0]
    (score,) = encode_scores(results.scores)
    return Explanation(results.matrix, decode_score(score), scorer)


def rejection_text(issues: Sequence[ValidationIssue]) -> str:
    """Return why a record is rejected, without its values."""
    lines = (f"  {issue.pointer or '(record)'}: {issue.message} [{issue.code}]" for issue in issues)
    return "heartstream: the record is rejected:\n" + "".join(f"{line}\n" for line in lines)


def _verdict(explained: Explanation) -> Iterator[str]:
    """Yield the risk and its uncertainty."""
    score, data = explained.score, explained.model.manifest.data
    outcome = explained.model.compiled.table.outcome
    side = "at or above" if score.label else "below"
    yield from wrapped(f"Risk: {_percent(score.risk)} ({outcome.text})")
    yield from wrapped(f"Trained on {data.population}.", "  ")
    yield f"  {side} the threshold of {_percent(score.threshold)}, so the label is {score.label}"
    if isinstance(score.interval, tuple):
        yield f"  90% interval: {_between(score.interval)}"
        yield from wrapped(INTERVAL, "    ")
        if isinstance(score.sampling_interval, tuple):
            part = f"With the same fields, other training patients account for {_between(score.sampling_interval)}; "
            yield from wrapped(f"{part}the rest is what the missing fields could still show.", "    ")
    yield from _labels(explained)
    if score.measure_next:
        yield from _hanging(f"measure next, most informative first: {', '.join(score.measure_next)}")
        yield "    (costs and risks of the tests are not considered)"
    model = score.model
    yield from _hanging(f"model: {model.name} {model.version} ({model.digest}), {_fields_used(explained)}")
    outside = [w.field for w in score.warnings if w.code is WarningCode.OUT_OF_TRAINING_RANGE]
    if outside:
        yield from _hanging(f"outside the training range: {', '.join(outside)}")
        yield "    (the risk is extrapolated, which the interval does not cover)"


def _labels(explained: Explanation) -> Iterator[str]:
    labels = explained.score.label_set
    if not isinstance(labels, tuple):
        return
    if len(labels) > 1:
        yield from wrapped(uncertain(explained.model.compiled.table.outcome.event), "  ")
        return
    model = explained.model
    (group,) = model.compiled.groups.of(explained.row).tolist()
    yield from wrapped(single_label(model.uncertainty, model.compiled, group, labels[0]), "  ")


def _hanging(text: str) -> list[str]:
    return wrapped(text, "  ", "    ")


def _between(interval: tuple[float, float]) -> str:
    low, high = map(_percent, interval)
    return f"{low} to {high}"


def _fields_used(explained: Explanation) -> str:
    score = explained.score
    if not score.missing:
        return f"all {len(explained.model.compiled.table.features)} fields measured"
    missing = ", ".join(score.missing)
    if any(warning.code is WarningCode.IMPUTED for warning in score.warnings):
        return f"values imputed for {missing}"
    if score.pattern is None:
        return f"all fields but {missing}"
    return f"sub-model trained without {missing}"


def _contributions(explained: Explanation, *, bars: bool) -> Iterator[str]:
    """Yield every field with its contribution, strongest first, and their sum."""
    score = explained.score
    reasons = score.reasons
    if not isinstance(reasons, tuple):
        linear = "; logistic_regression and its sub-models do" if _LINEAR in explained.model.manifest.models else ""
        yield from wrapped(f"{score.model.name} does not provide contributions{linear}.")
        return
    yield "Contributions to the risk, relative to the average training patient (log-odds):"
    yield ""
    by_name = explained.model.compiled.table.by_name
    block = max(_BAR_LOG_ODDS, abs(reasons[0].log_odds) / _BAR_BLOCKS) if bars else math.inf
    width, longest = round(abs(reasons[0].log_odds) / block), max(8, *map(len, by_name))
    for reason in reasons:
        bar = ("█" if reason.log_odds > 0 else "░") * round(abs(reason.log_odds) / block)
        yield from _lines(
            reason, _value(explained, by_name[reason.field]), f"{bar:{width}}  " if width else "", longest
        )
    total = math.log(score.risk / (1 - score.risk)) if 0 < score.risk < 1 else math.nan
    average = 1 / (1 + math.exp(sum(reason.log_odds for reason in reasons) - total))
    yield ""
    average_has = f"The average training patient has {_percent(average)}"
    yield from wrapped(f"{average_has}; the contributions add up to this patient's risk.")


def _lines(reason: Reason, value: str, bar: str, width: int) -> list[str]:
    part = f"{reason.log_odds:+.3f}" if value != _NOT_MEASURED else ""
    first = f"  {reason.field:{width}}  {part:>7}  {bar}"
    return wrapped(value, first, " " * len(first))


_NOT_MEASURED: Final = "not measured"


def _value(explained: Explanation, feature: Feature) -> str:
    """Return a field's value with its unit, or the meaning of its code."""
    if feature.name in explained.score.missing:
        return _NOT_MEASURED
    value = float(explained.row[0, explained.model.compiled.table.names.index(feature.name)])
    codes = zip(feature.sent, feature.codes, strict=True)
    sent, meaning = next(((sent, text) for sent, (code, text) in codes if code == value), (value, None))
    unit = f" {feature.unit}" if feature.unit and meaning is None else ""
    if meaning is None:
        return f"{value:g}{unit}"
    return meaning if meaning == str(sent) else f"{meaning} ({sent})"


def _percent(risk: float) -> str:
    if risk >= _CERTAIN:
        return "over 99.9%"
    return f"{risk:.1%}" if risk > 1 - _CERTAIN else "under 0.1%"
