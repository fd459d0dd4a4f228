"""The alert rules are sound, each with its cases; they name what exists, and where to read on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.telemetry import ALERTS, rules, script, unknown

FOLDER = ALERTS.parent
CASES = FOLDER / "alerts.test.yaml"
RUNBOOK = Path("docs/runbook.md")
ALERT_RULES = [rule for rule in rules() if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERT_RULES})


@pytest.mark.parametrize(
    "command",
    ["check config prometheus.yaml", "check rules alerts.yaml", "test rules alerts.test.yaml"],
)
def test_promtool_finds_no_fault(command: str) -> None:
    """The configuration and the rules are what Prometheus takes, and every case of the rules holds."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    told = subprocess.run([promtool, *command.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def asked_cases() -> list[tuple[str, dict[str, Any]]]:
    """Return each question of the cases, with the alert that it is about."""
    tests = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["promql_expr_test"]]
    return [(re.search(r'alertname="(\w+)"', case["expr"])[1], case) for case in cases]


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    """Each severity of each alert is seen to fire."""
    fire = {
        (name, re.search(r'severity="(\w+)"', sample["labels"])[1])
        for name, case in asked_cases()
        for sample in case["exp_samples"]
    }
    assert fire == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERT_RULES}


def test_every_alert_has_a_case_in_which_it_does_not_fire() -> None:
    """Each alert is seen to be silent while its metrics have values."""
    assert sorted({name for name, case in asked_cases() if not case["exp_samples"]}) == NAMES


def test_every_alert_says_who_must_look_and_where_to_read() -> None:
    """A severity, a summary, a description, and a section of the runbook."""
    headings = re.findall(r"^#+ (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {f"{RUNBOOK}#{heading.lower()}" for heading in headings}
    for rule in ALERT_RULES:
        assert rule["labels"].keys() == {"severity"}, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] in anchors


def test_every_rule_names_what_exists() -> None:
    """Metrics and labels are those that our processes show; no rule knows a job's name."""
    assert {rule["expr"]: unknown(rule["expr"]) for rule in rules() if unknown(rule["expr"])} == {}


def test_what_does_not_exist_is_found() -> None:
    """A metric, a selected label, a grouped label, the job: each is told."""
    assert unknown('sum by (job) (rate(heartstream_records_total{gate="kafka"}[5m])) / heartstream_lag > 1') == [
        "heartstream_lag",
        "gate",
        "job",
    ]


def test_kubernetes_has_the_same_rules() -> None:
    """The PrometheusRule is made of them: if not, run `python k8s/components/monitoring/make_rules.py`."""
    folder = Path("k8s/components/monitoring")
    written = (folder / "prometheus-rule.yaml").read_text(encoding="utf-8")
    assert script(folder / "make_rules.py").wrapped() == written
