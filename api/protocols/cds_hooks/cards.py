"""The cards of a service: the risk, the open questions, or why there is no risk."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from msgspec import UNSET

from api.protocols.cds_hooks.commonmark import bullets, escaped
from api.protocols.fhir.parse import ParsedBundle
from api.protocols.fhir.serialize import WARNINGS, label_set_notes
from runtime.settings import CdsHooks
from schemas.cds_hooks.responses import OVERRIDE_REASONS, SUMMARY_MAX_CHARS, TOPICS, Card, CardSource, Link
from schemas.fhir.mapping import FhirMapping
from schemas.fhir.responses import Coding
from schemas.records import Score
from schemas.tables.feature_table import Feature, FeatureTable
from scoring.scorer import Scorer
from scoring.wording import INTERVAL

_MAX_LINES: Final = 10
"""Errors that a card lists."""


class CardWriter:
    """Writes the cards of a feature table."""

    def __init__(self, mapping: FhirMapping, settings: CdsHooks, public_url: str) -> None:
        self._mapping = mapping
        self._title = mapping.operation.title
        self._settings = settings
        self._page = f"{public_url.rstrip('/')}/" if public_url else ""
        self._reasons = override_reasons(mapping.table)
        names = "|".join(map(re.escape, mapping.table.names))
        self._field = re.compile(rf"(?:^|(?<=^Used: )|(?<=\), ))(?:{names})(?=:| of | was | is | says )")

    def risk(self, parsed: ParsedBundle, score: Score, scorer: Scorer, notes: Sequence[str]) -> Card:
        """Return the card of a score by `scorer`; `notes` are shown below it."""
        interval = f" (90% interval {_percent(*score.interval)})" if score.interval else ""
        missing = f", {len(score.missing)} of {len(self._mapping.table.features)} fields missing"
        summary = f"{self._title}: {_percent(score.risk)}{interval}{missing if score.missing else ''}"
        lines = [*self._risk_lines(parsed, score, scorer), *map(self._in_words, (*parsed.notes, *notes))]
        is_warning = self._settings.warn_above_threshold and score.label == 1
        link = "Enter the missing values" if score.missing else ""
        return self._card(summary, [*lines, _emphasized(scorer)], scorer, link, "warning" if is_warning else "info")

    def questions(self, fields: Sequence[str], scorer: Scorer) -> Card:
        """Return the card of required fields that are missing."""
        count = f"{len(fields)} question{'' if len(fields) == 1 else 's'}"
        asked = (self._question(self._mapping.table.by_name[name]) for name in fields)
        return self._card(
            f"{self._title}: answer {count} to get a risk",
            [*asked, _emphasized(scorer)],
            scorer,
            f"Answer {count}",
        )

    def unreadable(self, problems: Sequence[str], scorer: Scorer) -> Card:
        """Return the card of data that must be corrected before they are scored."""
        more = len(problems) - _MAX_LINES
        lines = [*problems[:_MAX_LINES], *([f"{more} more"] if more > 0 else [])]
        summary = f"{self._title}: no risk, as the data cannot be used as they are"
        return self._card(summary, [*map(self._in_words, lines), _emphasized(scorer)], scorer)

    def _risk_lines(self, parsed: ParsedBundle, score: Score, scorer: Scorer) -> Iterator[str]:
        operation = self._mapping.operation
        side = "at or above" if score.label else "below"
        outcome = f"{operation.outcome}, {side} the threshold {_percent(score.threshold)}"
        yield f"**{_percent(score.risk)}**: {escaped(outcome)}"
        if score.interval:
            yield f"90% interval {_percent(*score.interval)}. {escaped(INTERVAL)}"
        yield from map(_line, label_set_notes(parsed, score, scorer))
        if score.missing:
            yield _line(f"Missing: {self._meanings(score.missing)}")
        if score.measure_next:
            next_text = f"Most informative to measure next: {self._meanings(score.measure_next)}"
            yield _line(f"{next_text}. Costs and risks of the tests are not considered.")
        yield from (_line(f"{self._meanings([each.field])} {WARNINGS[each.code]}") for each in score.warnings)

    def _meanings(self, fields: Sequence[str]) -> str:
        return "; ".join(self._mapping.table.by_name[name].meaning for name in fields)

    def _in_words(self, note: str) -> str:
        """Return a note as CommonMark, with what its fields mean in place of their names."""
        return _line(self._field.sub(lambda found: self._meanings([found[0]]), note))

    def _question(self, feature: Feature) -> str:
        unit = f" in {feature.unit}" if feature.unit else ""
        choices = f": {', '.join(meaning for _, meaning in feature.codes)}" if feature.codes else unit
        return _line(f"{feature.meaning}{choices}")

    def _card(
        self,
        summary: str,
        lines: Sequence[str],
        scorer: Scorer,
        link: str = "",
        indicator: Literal["info", "warning"] = "info",
    ) -> Card:
        """Return a card; with a label, and a URL in the settings, it has a link to where values are entered."""
        model, launch_url = scorer.model, self._settings.launch_url
        kind: Literal["smart", "absolute"] = "smart" if launch_url else "absolute"
        target = launch_url or self._page
        return Card(
            uuid=str(uuid.uuid4()),
            summary=_shortened(summary),
            detail=bullets(lines),
            indicator=indicator,
            source=CardSource(
                f"heartstream: {model.name} {model.version} (research only)",
                Coding(TOPICS, self._mapping.operation.operation, self._title),
                f"{self._page}#model" if self._page else UNSET,
            ),
            override_reasons=self._reasons,
            links=(Link(link, target, kind),) if link and target else UNSET,
        )


def override_reasons(table: FeatureTable) -> tuple[Coding, ...]:
    """Return the reasons that a user can give for dismissing a card of a feature table."""
    reasons = {
        "outcome-known": f"The outcome is known already ({table.outcome.event})",
        "other-population": "Not like the patients that the model was trained on",
        "wrong-values": "The values are outdated or wrong",
        "not-relevant": "Not relevant at this visit",
        "disagree": "Clinical judgement differs",
    }
    return tuple(Coding(OVERRIDE_REASONS, code, text) for code, text in reasons.items())


def _line(text: str) -> str:
    """Return CommonMark that is shown as this text, with a capital letter, but not in words such as pH."""
    return escaped(text if text[1:2].isupper() else text[:1].upper() + text[1:])


def _emphasized(scorer: Scorer) -> str:
    return f"*{escaped(scorer.manifest.data.disclaimer)}*"


def _percent(*shares: float) -> str:
    return " to ".join(f"{share:.1%}" for share in shares)


def _shortened(text: str) -> str:
    """Return a summary in one line, of less than 140 characters."""
    line = " ".join(text.split())
    return line if len(line) <= SUMMARY_MAX_CHARS else f"{line[: SUMMARY_MAX_CHARS - 1]}\N{HORIZONTAL ELLIPSIS}"
