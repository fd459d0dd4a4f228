"""The runbook names what exists: alerts, commands, settings, metrics, log lines, checks, panels."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
import yaml

from heartstream.cli import app
from runtime.generate.telemetry import event_entries
from schemas.errors import RejectionCode
from tests.support.telemetry import known_series, rules
from worker.health import WorkerChecks

TEXT = Path("docs/runbook.md").read_text(encoding="utf-8")
PAGE = " ".join(TEXT.split())
QUOTED = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"```.*?```", "", PAGE))
SHELL = [line.strip() for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
COMMANDS = sorted(
    {found[1] for told in (*QUOTED, *SHELL) if (found := re.match(r"(?:.*python -m )?heartstream (.+)", told))}
)


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    """In the three parts that an operator needs: what it means, where to look, what to do."""
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted({rule["alert"] for rule in rules() if "alert" in rule})
    parts = {name: re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) for name, text in sections.items()}
    assert {name: found for name, found in parts.items() if found != ["Means", "Look", "Do"]} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_ours_can_be_given(command: str) -> None:
    """Its subcommand, options and arguments are taken as they stand."""
    app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)


def test_commands_are_found() -> None:
    """Those in text and those in code."""
    assert {"topics", "dlq show 0:4711", "top --once", "worker --show-config"} <= set(COMMANDS)


def test_every_service_of_compose_that_is_named_exists() -> None:
    """After `exec`, `logs` and `--scale`."""
    services = yaml.safe_load(Path("compose/compose.yaml").read_text(encoding="utf-8"))["services"]
    named = re.findall(
        r"docker compose -f compose/compose.yaml (?:exec |.*--scale )(\w+)", "\n".join((*SHELL, *QUOTED))
    )
    assert named
    assert [name for name in named if name not in services] == []


def test_every_setting_exists() -> None:
    """As docs/settings.md has it, or an option of the Kafka client."""
    settings = Path("docs/settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"HEARTSTREAM_[A-Z_]+", PAGE))
    assert named
    assert [name for name in named if f"`{name}`" not in settings and "_KAFKA__OPTIONS__" not in name] == []


def test_every_metric_and_code_exists() -> None:
    """Names with underscores are metrics, rejection codes, labels of metrics, or the client's own codes."""
    words = {word for word in QUOTED if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    assert words - known_series().keys() - {str(code) for code in RejectionCode} == set()


def test_every_log_line_and_check_exists() -> None:
    """Words in lower case are what a process logs, or what it says of its health."""
    lines = {line.text for entry in event_entries() for line in entry.lines}
    checks = WorkerChecks(*cast("Any", (None, None, None, 0.0))).health()
    said = {name for kind in ("startup", "live", "ready") for name in getattr(checks, kind)}
    words = {word for word in QUOTED if re.fullmatch(r"[a-z]+( [a-z]+)+", word)} - {
        f"heartstream {c}" for c in COMMANDS
    }
    assert words - lines - said == set()


def test_every_panel_exists() -> None:
    """What stands in double quotes is a panel or a row of the dashboard."""
    panels = json.loads(Path("compose/grafana/heartstream.json").read_text(encoding="utf-8"))["panels"]
    prose = re.sub(r"```.*?```|`[^`]+`", "", PAGE)
    assert set(re.findall(r'"([^"]+)"', prose)) - {panel["title"] for panel in panels} == set()


def test_every_link_leads_somewhere() -> None:
    """To a section of this page, or to a file."""
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert Path("docs", path).exists() if path else anchor in anchors, target


def test_warnings_are_found_in_the_log() -> None:
    """The patterns that are searched for match a warning as it is logged, and no other line."""
    patterns = [found[1] for line in SHELL if (found := re.search(r"grep -E '([^']+)'", line))]
    line = structlog.processors.JSONRenderer()
    said = {level: str(line(None, "", {"event": "partition stalled", "level": level})) for level in ("info", "warning")}
    assert patterns
    for pattern in patterns:
        assert (re.search(pattern, said["warning"]) is None, re.search(pattern, said["info"]) is None) == (False, True)
