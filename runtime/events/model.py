"""Events of the model in use, of its canary and challenger, and of measurements of its scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from runtime.metrics import model as metrics
from runtime.metrics import show

_log: Final = structlog.get_logger("heartstream")


class ModelLoaded(msgspec.Struct, frozen=True):
    """A model is verified, self-checked and in use.

    `native_reason` says why Python reads its records and writes its scores, None if the native core does.
    """

    name: str
    version: str
    digest: str
    engine: str
    fallback_reason: str | None
    watches_drift: bool
    native_reason: str | None

    def emit(self) -> None:
        """Log it, as a warning without a fast engine; set the info metric."""
        core = "native" if self.native_reason is None else "python"
        metrics.MODEL.clear()
        metrics.MODEL.labels(self.name, self.version, self.digest, self.engine, core).set(1)
        log = _log.bind(
            name=self.name,
            version=self.version,
            digest=self.digest,
            engine=self.engine,
            watches_drift=self.watches_drift,
            core=core,
            native_reason=self.native_reason,
        )
        if self.fallback_reason is None:
            log.info("model loaded")
        else:
            log.warning("model loaded without a fast engine", reason=self.fallback_reason)


class ModelSwapped(msgspec.Struct, frozen=True):
    """Another model takes over between two batches."""

    def emit(self) -> None:
        """Count and log it."""
        metrics.MODEL_CHANGES.labels("swapped").inc()
        metrics.MODEL_REFUSED.set(0)
        _log.info("model swapped")


class ModelWithdrawn(msgspec.Struct, frozen=True):
    """A model failed its trial; the previous one is in use again."""

    reason: str

    def emit(self) -> None:
        """Count it; log it as an error."""
        metrics.MODEL_CHANGES.labels("withdrawn").inc()
        metrics.MODEL_REFUSED.set(1)
        _log.error("model withdrawn", reason=self.reason)


class ModelRefused(msgspec.Struct, frozen=True):
    """The candidate model is unusable; the current model stays in use."""

    reason: str

    def emit(self) -> None:
        """Count it; log it as an error."""
        metrics.MODEL_CHANGES.labels("refused").inc()
        metrics.MODEL_REFUSED.set(1)
        _log.error("model refused", reason=self.reason)


class ModelRefusalEnded(msgspec.Struct, frozen=True):
    """The refused candidate is gone: the configured model is the one in use again."""

    def emit(self) -> None:
        """Log it."""
        metrics.MODEL_REFUSED.set(0)
        _log.info("configured model is in use again")


class CanaryLoaded(msgspec.Struct, frozen=True):
    """A challenger scores a share of the keys."""

    name: str
    version: str
    digest: str
    share: float

    def emit(self) -> None:
        """Log it; set the info metric."""
        metrics.CANARY.labels(self.name, self.version, self.digest).set(1)
        _log.info("canary loaded", name=self.name, version=self.version, digest=self.digest, share=self.share)


class CanaryRefused(msgspec.Struct, frozen=True):
    """The challenger cannot score its share of the keys; the model in use scores them all."""

    reason: str

    def emit(self) -> None:
        """Set the gauge; log it as an error."""
        metrics.CANARY_REFUSED.set(1)
        _log.error("canary refused", reason=self.reason)


class CanaryScored(msgspec.Struct, frozen=True):
    """The canary scored its share of a batch."""

    scored: int
    rejected: int

    def emit(self) -> None:
        """Count it."""
        metrics.CANARY_RECORDS.labels("scored").inc(self.scored)
        metrics.CANARY_RECORDS.labels("rejected").inc(self.rejected)


class CanaryWithdrawn(msgspec.Struct, frozen=True):
    """The canary was withdrawn; the model in use scores all keys."""

    reason: str

    def emit(self) -> None:
        """Set the gauge; log it as an error."""
        metrics.CANARY.clear()
        metrics.CANARY_REFUSED.set(1)
        _log.error("canary withdrawn", reason=self.reason)


class ModelsCompared(msgspec.Struct, frozen=True):
    """Champion and challenger processed the same records; only one of them could score those in `one_alone`.

    `higher` and `lower` are sums of how far the challenger's risks are above and below the champion's.
    """

    same_label: int
    other_label: int
    one_alone: int
    higher: float
    lower: float
    champion_seconds: float
    challenger_seconds: float

    def emit(self) -> None:
        """Count it."""
        for outcome in ("same_label", "other_label", "one_alone"):
            metrics.SHADOW_RECORDS.labels(outcome).inc(getattr(self, outcome))
        for direction in ("higher", "lower"):
            metrics.SHADOW_DIFFERENCE.labels(direction).inc(getattr(self, direction))
        metrics.SHADOW_SECONDS.labels("champion").inc(self.champion_seconds)
        metrics.SHADOW_SECONDS.labels("challenger").inc(self.challenger_seconds)


class DriftMeasured(msgspec.Struct, frozen=True):
    """How recent records differ from the training rows, by field; None with too few records.

    `score_psi` is that of the risks of `model`.
    """

    model: str
    records: int
    psi: Mapping[str, float | None]
    missing: Mapping[str, float | None]
    out_of_range: Mapping[str, float | None]
    score_psi: float | None

    def emit(self) -> None:
        """Set the gauges; remove the unknown ones, and that of a model that was replaced."""
        metrics.DRIFT_RECORDS.set(self.records)
        show(metrics.DRIFT_PSI, self.psi)
        show(metrics.DRIFT_MISSING, self.missing)
        show(metrics.DRIFT_OUT_OF_RANGE, self.out_of_range)
        metrics.DRIFT_SCORE_PSI.clear()
        show(metrics.DRIFT_SCORE_PSI, {self.model: self.score_psi})


class OutcomesEvaluated(msgspec.Struct, frozen=True):
    """Known outcomes were joined with scores: values by model, digest and window ("all" or "last").

    A value with too few outcomes is None; `left_out` counts excluded outcomes by reason.
    """

    figures: Mapping[tuple[str, str, str], Mapping[str, float | None]]
    left_out: Mapping[str, int]

    def emit(self) -> None:
        """Set the gauges; remove those no longer known."""
        gauges = {
            "outcomes": metrics.OUTCOMES,
            "ratio": metrics.OUTCOMES_RATIO,
            "ratio_low": metrics.OUTCOMES_RATIO_LOW,
            "ratio_high": metrics.OUTCOMES_RATIO_HIGH,
            "brier": metrics.OUTCOMES_BRIER,
            "constant_brier": metrics.OUTCOMES_CONSTANT_BRIER,
            "intercept": metrics.OUTCOMES_INTERCEPT,
            "roc_auc": metrics.OUTCOMES_ROC_AUC,
        }
        for name, gauge in gauges.items():
            gauge.clear()
            for labels, figures in self.figures.items():
                if (value := figures[name]) is not None:
                    gauge.labels(*labels).set(value)
        show(metrics.OUTCOMES_LEFT_OUT, self.left_out)
