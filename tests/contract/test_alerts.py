"""The alert rules are valid and tested, use existing metrics, and refer to the runbook."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
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
PROMTOOL = shutil.which("promtool") or ""
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (Debian: apt install prometheus)")


def promtool(*arguments: str | Path) -> str:
    """Run promtool where the rules are; return what it prints if it fails, else nothing."""
    done = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@needs_promtool
@pytest.mark.parametrize("command", ["check config prometheus.yaml", "check rules alerts.yaml"])
def test_promtool_accepts_configuration_and_rules(command: str) -> None:
    """Prometheus could be started with them."""
    assert promtool(*command.split()) == ""


@needs_promtool
def test_every_case_of_the_rules_passes(tmp_path: Path) -> None:
    """Burn rates over days take promtool half a minute of one processor, so each processor gets some of the cases."""
    cases, count = yaml.safe_load(CASES.read_text(encoding="utf-8")), min(os.cpu_count() or 1, 8)
    files = [tmp_path / f"{number}.yaml" for number in range(count)]
    for number, file in enumerate(files):
        some = {**cases, "rule_files": [str(ALERTS.resolve())], "tests": cases["tests"][number::count]}
        file.write_text(yaml.safe_dump(some), encoding="utf-8")
    with ThreadPoolExecutor(count) as pool:
        assert list(pool.map(lambda file: promtool("test", "rules", file), files)) == [""] * count


def asked_cases() -> list[tuple[str, dict[str, Any]]]:
    """Return each evaluation of the cases, with its alert."""
    tests = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["promql_expr_test"]]
    return [(re.search(r'alertname="(\w+)"', case["expr"])[1], case) for case in cases]


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    """Each severity of each alert."""
    fire = {
        (name, re.search(r'severity="(\w+)"', sample["labels"])[1])
        for name, case in asked_cases()
        for sample in case["exp_samples"]
    }
    assert fire == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERT_RULES}


def test_every_alert_has_a_case_in_which_it_does_not_fire() -> None:
    """While its metrics have values."""
    assert sorted({name for name, case in asked_cases() if not case["exp_samples"]}) == NAMES


def test_every_alert_has_a_severity_and_a_runbook_section() -> None:
    """And a summary and a description."""
    headings = re.findall(r"^#+ (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {f"{RUNBOOK}#{heading.lower()}" for heading in headings}
    for rule in ALERT_RULES:
        assert rule["labels"].keys() == {"severity"}, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] in anchors


def test_every_rule_uses_existing_metrics_and_labels() -> None:
    """No rule depends on a job's name."""
    assert {rule["expr"]: unknown(rule["expr"]) for rule in rules() if unknown(rule["expr"])} == {}


def test_unknown_names_are_found() -> None:
    """An unknown metric, selected label or grouped label, and the job."""
    assert unknown('sum by (job) (rate(heartstream_records_total{gate="kafka"}[5m])) / heartstream_lag > 1') == [
        "heartstream_lag",
        "gate",
        "job",
    ]


def test_kubernetes_has_the_same_rules() -> None:
    """`python k8s/components/monitoring/make_rules.py` writes the PrometheusRule."""
    folder = Path("k8s/components/monitoring")
    written = (folder / "prometheus-rule.yaml").read_text(encoding="utf-8")
    assert script(folder / "make_rules.py").wrapped() == written
