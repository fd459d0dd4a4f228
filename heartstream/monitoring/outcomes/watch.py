"""Looking at the topics once, or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

import msgspec

from heartstream.monitoring.outcomes.calibration import Figures, Findings, judge
from heartstream.monitoring.outcomes.topics import Spans, join_topics
from runtime import events, logs
from runtime.health import Health, TelemetryServer
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings, Telemetry
from schemas.errors import DependencyError, SettingsError


class Question(msgspec.Struct, frozen=True):
    """How many of the newest outcomes are held, and how many are the last ones."""

    outcomes: int
    window: int


def find(settings: Settings, question: Question) -> Findings:
    """Judge by what stands on the topics now. Raises DependencyError and SettingsError."""
    with Reader.open(settings) as reader:
        spans = Spans.of(reader, settings.topics)
        return judge(join_topics(reader, settings.topics, spans, question.outcomes), question.window)


def follow(settings: Settings, question: Question, seconds: float, tell: Callable[[Findings], None]) -> None:
    """Judge again whenever there is something new, for ever; tell it, and show it as metrics.

    What is told is what `find` would find then. Raises what `find` raises the first time; later a broker that
    is away is waited for.
    """
    with _telemetry(settings.telemetry), Reader.open(settings) as reader:
        seen: Spans | None = None
        findings: Findings | None = None
        while True:
            try:
                spans = Spans.of(reader, settings.topics)
                if _is_news(seen, spans, findings):
                    joined = join_topics(reader, settings.topics, spans, question.outcomes)
                    seen, before, findings = spans, findings, judge(joined, question.window)
                    show(findings)
                    if findings != before:
                        tell(findings)
            except DependencyError as error:
                if seen is None:
                    raise
                sys.stderr.write(f"heartstream: {error}; trying again\n")
            time.sleep(seconds)


def _is_news(seen: Spans | None, now: Spans, findings: Findings | None) -> bool:
    """Say whether there are new outcomes, or new scores for outcomes that have none."""
    if seen is None or findings is None or seen.outcomes != now.outcomes:
        return True
    return findings.left_out.without_score > 0 and seen.scores != now.scores


def show(findings: Findings) -> None:
    """Set the metrics."""
    shown = {
        (judgement.model.name, judgement.model.digest, window): _shown(figures)
        for judgement in findings.models
        for window, figures in (("all", judgement.all), ("last", judgement.last))
    }
    events.OutcomesJudged(shown, msgspec.structs.asdict(findings.left_out)).emit()


def _shown(figures: Figures) -> dict[str, float | None]:
    ratio = figures.observed_expected
    value, low, high = (None, None, None) if ratio is None else (ratio.value, ratio.low, ratio.high)
    return {
        "outcomes": figures.outcomes,
        "ratio": value,
        "ratio_low": low,
        "ratio_high": high,
        "brier": figures.brier,
        "constant_brier": figures.constant_brier,
        "intercept": None if figures.intercept is None else figures.intercept.value,
        "roc_auc": figures.roc_auc,
    }


@contextmanager
def _telemetry(telemetry: Telemetry) -> Iterator[None]:
    """Serve metrics and health while the context lasts. Raises SettingsError where the port is taken."""
    logs.configure(telemetry)
    try:
        server = TelemetryServer(telemetry.host, telemetry.port, Health({}, {}))
    except OSError as error:
        problem = f"HEARTSTREAM_TELEMETRY__PORT: cannot listen at {telemetry.host}:{telemetry.port} ({error.strerror})"
        raise SettingsError((problem,)) from error
    events.ProcessStarted("outcomes", version("heartstream")).emit()
    try:
        yield
    finally:
        server.close()
