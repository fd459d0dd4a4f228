"""Metrics of the model in use, of its canary and challenger, and of measurements of its scores."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import counter_of, gauge

MODEL: Final = gauge(
    "heartstream_model_info",
    "The model in use; the value is 1. `core` says what reads its records and writes its scores: native or python.",
    "name",
    "version",
    "digest",
    "engine",
    "core",
)
MODEL_CHANGES: Final = counter_of(
    "heartstream_model_changes",
    "Candidate models by result: swapped (in use), refused, or withdrawn while on trial (the previous model is in use "
    "again).",
    "outcome",
    "swapped",
    "refused",
    "withdrawn",
)
MODEL_REFUSED: Final = gauge(
    "heartstream_model_refused", "Whether the candidate model is refused and another model is in use (1) or not (0)."
)
CANARY: Final = gauge(
    "heartstream_canary_info",
    "The challenger that scores some of the keys; the value is 1. Absent after it was refused or withdrawn.",
    "name",
    "version",
    "digest",
)
CANARY_REFUSED: Final = gauge(
    "heartstream_canary_refused",
    "Whether the canary was refused or withdrawn since the process started (1) or not (0).",
)
CANARY_RECORDS: Final = counter_of(
    "heartstream_canary_records",
    "Records processed by the canary, by outcome; heartstream_records_total includes them.",
    "outcome",
    "scored",
    "rejected",
)
SHADOW_RECORDS: Final = counter_of(
    "heartstream_shadow_records",
    "Records processed by both champion and challenger: same label, other label, or scored by only one of them.",
    "outcome",
    "same_label",
    "other_label",
    "one_alone",
)
SHADOW_DIFFERENCE: Final = counter_of(
    "heartstream_shadow_risk_difference",
    "Sum of the amounts by which the challenger's risks are above (higher) and below (lower) the champion's. Divided "
    "by records, higher plus lower is the mean absolute difference, higher minus lower the calibration gap.",
    "direction",
    "higher",
    "lower",
)
SHADOW_SECONDS: Final = counter_of(
    "heartstream_shadow_scoring_seconds", "Time spent scoring, by model.", "model", "champion", "challenger"
)
DRIFT_RECORDS: Final = gauge(
    "heartstream_drift_window_records",
    "Records in the window compared with the training rows; 0: drift is not monitored. All drift metrics are updated "
    "every ten seconds; the others need 200 records.",
)
DRIFT_PSI: Final = gauge(
    "heartstream_drift_psi",
    "Population stability index of a field's measured values against the training rows, corrected for chance. Below "
    "0.1 is little drift, above 0.25 is much.",
    "field",
)
DRIFT_MISSING: Final = gauge(
    "heartstream_drift_missing_share_difference",
    "Share of records in which the field is not measured, minus the same share of the training rows.",
    "field",
)
DRIFT_OUT_OF_RANGE: Final = gauge(
    "heartstream_drift_out_of_range_share",
    "Share of the field's measured values outside the range of the training rows.",
    "field",
)
DRIFT_SCORE_PSI: Final = gauge(
    "heartstream_drift_score_psi",
    "Population stability index of the risks against the model's out-of-fold risks of the training rows, corrected for "
    "chance as above.",
    "model",
)
_OF_OUTCOMES: Final = ("model", "digest", "window")
OUTCOMES: Final = gauge(
    "heartstream_outcomes_evaluated",
    "Known outcomes matched to a score of the model, by window: all that are held, and the last.",
    *_OF_OUTCOMES,
)
OUTCOMES_RATIO: Final = gauge(
    "heartstream_outcomes_observed_expected_ratio",
    "Share of patients with the outcome divided by their mean risk; 1 if risks are right on average.",
    *_OF_OUTCOMES,
)
OUTCOMES_RATIO_LOW: Final = gauge(
    "heartstream_outcomes_observed_expected_ratio_low", "Lower limit of the ratio's 95% interval.", *_OF_OUTCOMES
)
OUTCOMES_RATIO_HIGH: Final = gauge(
    "heartstream_outcomes_observed_expected_ratio_high", "Upper limit of the ratio's 95% interval.", *_OF_OUTCOMES
)
OUTCOMES_BRIER: Final = gauge("heartstream_outcomes_brier_score", "Brier score of the risks.", *_OF_OUTCOMES)
OUTCOMES_CONSTANT_BRIER: Final = gauge(
    "heartstream_outcomes_baseline_brier_score",
    "Brier score of predicting the observed share for every patient.",
    *_OF_OUTCOMES,
)
OUTCOMES_INTERCEPT: Final = gauge(
    "heartstream_outcomes_calibration_intercept",
    "What must be added to all log-odds to make risks right on average.",
    *_OF_OUTCOMES,
)
OUTCOMES_ROC_AUC: Final = gauge(
    "heartstream_outcomes_roc_auc", "ROC-AUC of the risks, if at least 20 of each outcome are known.", *_OF_OUTCOMES
)
OUTCOMES_LEFT_OUT: Final = gauge(
    "heartstream_outcomes_excluded", "Outcomes excluded from the evaluation, by reason.", "reason"
)
