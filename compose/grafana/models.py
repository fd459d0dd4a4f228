"""Panels of drift, outcomes and the challenger."""

from __future__ import annotations

from typing import Final

from compose.grafana.panels import RATE, Panel

_OF_STREAM: Final = f'sum(rate(heartstream_records_total{{interface="kafka"}}{RATE}))'
_SEEN: Final = f"sum(rate(heartstream_shadow_records_total{RATE}))"
_COMPARED: Final = f'sum(rate(heartstream_shadow_records_total{{outcome!="one_alone"}}{RATE}))'
_BY_MODEL: Final = "{{model}} {{digest}} {{window}}"


def _difference(direction: str) -> str:
    return f'sum(rate(heartstream_shadow_risk_difference_total{{direction="{direction}"}}{RATE}))'


def _drift(title: str, meaning: str, asked: tuple[str, str, float]) -> Panel:
    """Return a panel of the largest difference of any process; `asked`: metric, label, and the alert's threshold."""
    metric, label, limit = asked
    query, thresholds = f"max by ({label}) (abs({metric}))", ((None, "green"), (limit, "red"))
    return Panel(title, f"{meaning} Above {limit} an alert fires.", "short", [(query, f"{{{{{label}}}}}")], thresholds)


DRIFT: Final = (
    _drift(
        "Values, PSI",
        "How a field's measured values differ from those of the training rows.",
        ("heartstream_drift_psi", "field", 0.25),
    ),
    _drift(
        "Missing, difference",
        "Share of records without the field minus that of the training rows.",
        ("heartstream_drift_missing_share_difference", "field", 0.2),
    ),
    _drift(
        "Outside the training range",
        "Share of a field's measured values outside the range of the training rows.",
        ("heartstream_drift_out_of_range_share", "field", 0.05),
    ),
    _drift(
        "Risks, PSI",
        "How risks differ from the model's risks of the training rows.",
        ("heartstream_drift_score_psi", "model", 0.25),
    ),
    Panel(
        "Records compared",
        "Records in the window of each process. At least 200 are needed; 0: drift is not monitored.",
        "short",
        [("heartstream_drift_window_records", "{{instance}}")],
        width=12,
    ),
)

OUTCOMES: Final = (
    Panel(
        "Observed over expected",
        "Share of patients with the outcome divided by their mean risk, with 95% interval; ideally 1. Reported by "
        "heartstream outcomes --follow.",
        "short",
        [
            ("heartstream_outcomes_observed_expected_ratio", _BY_MODEL),
            ("heartstream_outcomes_observed_expected_ratio_low", f"{_BY_MODEL} low"),
            ("heartstream_outcomes_observed_expected_ratio_high", f"{_BY_MODEL} high"),
        ],
        width=12,
        height=8,
    ),
    Panel(
        "Brier score",
        "Of the risks, and of predicting the observed share for every patient, which must be higher.",
        "short",
        [
            ("heartstream_outcomes_brier_score", _BY_MODEL),
            ("heartstream_outcomes_baseline_brier_score", f"{_BY_MODEL} constant"),
        ],
        width=12,
        height=8,
    ),
    Panel(
        "Calibration and discrimination",
        "The intercept is the correction of log-odds, ideally 0. A ROC-AUC of 0.5 is chance.",
        "short",
        [
            ("heartstream_outcomes_calibration_intercept", f"{_BY_MODEL} intercept"),
            ("heartstream_outcomes_roc_auc", f"{_BY_MODEL} ROC-AUC"),
        ],
        width=12,
        height=8,
        lowest=None,
    ),
    Panel(
        "Known outcomes",
        "Outcomes that are matched to a score, and excluded ones by reason.",
        "short",
        [("heartstream_outcomes_evaluated", _BY_MODEL), ("heartstream_outcomes_excluded", "{{reason}}")],
        width=12,
        height=8,
    ),
)

CHALLENGER: Final = (
    Panel(
        "Labels of champion and challenger",
        "Records per second that both processed: same label, other label, or scored by only one of them.",
        "short",
        [(f"sum by (outcome) (rate(heartstream_shadow_records_total{RATE}))", "{{outcome}}")],
    ),
    Panel(
        "Risk difference, challenger minus champion",
        "Mean absolute difference, and mean difference (calibration gap).",
        "short",
        [
            (f"sum(rate(heartstream_shadow_risk_difference_total{RATE})) / {_COMPARED}", "absolute"),
            (f"({_difference('higher')} - {_difference('lower')}) / {_COMPARED}", "mean"),
        ],
    ),
    Panel(
        "Scoring time per record",
        "By model.",
        "s",
        [
            (
                f"sum by (model) (rate(heartstream_shadow_scoring_seconds_total{RATE})) / scalar({_SEEN})",
                "{{model}}",
            )
        ],
    ),
    Panel(
        "Canary share",
        "Share of the stream's records that the canary scored.",
        "percentunit",
        [
            (
                f"sum(rate(heartstream_canary_records_total{RATE})) / {_OF_STREAM}",
                "share",
            )
        ],
        width=12,
    ),
    Panel(
        "Workers with the canary",
        "By model; and workers that refused or withdrew it, whose log has the reason.",
        "short",
        [
            ("count by (name, version, digest) (heartstream_canary_info)", "{{name}} {{version}} {{digest}}"),
            ("sum(heartstream_canary_refused)", "without it"),
        ],
        width=12,
    ),
)
