"""The runbook refers only to existing alerts, commands, settings, metrics, log lines, checks and panels."""

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
    {found[1] for line in (*QUOTED, *SHELL) if (found := re.match(r"(?:.*python -m )?heartstream (.+)", line))}
)


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    """With the three parts "Means", "Look" and "Do"."""
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted({rule["alert"] for rule in rules() if "alert" in rule})
    parts = {name: re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) for name, text in sections.items()}
    assert {name: found for name, found in parts.items() if found != ["Means", "Look", "Do"]} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_heartstream_command_is_valid(command: str) -> None:
    """Subcommand, options and arguments are accepted by the parser."""
    app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)


def test_commands_are_found() -> None:
    """In text and in code blocks."""
    assert {"topics", "dlq show 0:4711", "top --once", "worker --show-config"} <= set(COMMANDS)


def test_every_compose_service_exists() -> None:
    """After `exec`, `logs` and `--scale`."""
    services = yaml.safe_load(Path("compose/compose.yaml").read_text(encoding="utf-8"))["services"]
    named = re.findall(
        r"docker compose -f compose/compose.yaml (?:exec |.*--scale )(\w+)", "\n".join((*SHELL, *QUOTED))
    )
    assert named
    assert [name for name in named if name not in services] == []


def test_every_setting_exists() -> None:
    """In docs/settings.md, or as an option of the Kafka client."""
    settings = Path("docs/settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"HEARTSTREAM_[A-Z_]+", PAGE))
    assert named
    assert [name for name in named if f"`{name}`" not in settings and "_KAFKA__OPTIONS__" not in name] == []


def test_every_metric_and_code_exists() -> None:
    """Names with underscores are metrics, fault codes, labels of metrics, or codes of the client."""
    words = {word for word in QUOTED if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    assert words - known_series().keys() - {str(code) for code in RejectionCode} == set()


def test_every_log_line_and_check_exists() -> None:
    """Lower-case words in backquotes are log events or health checks."""
    lines = {line.text for entry in event_entries() for line in entry.lines}
    checks = WorkerChecks(*cast("Any", (None, None, None, 0.0))).health()
    checked = {name for kind in ("startup", "live", "ready") for name in getattr(checks, kind)}
    words = {word for word in QUOTED if re.fullmatch(r"[a-z]+( [a-z]+)+", word)} - {
        f"heartstream {c}" for c in COMMANDS
    }
    assert words - lines - checked == set()


def test_every_panel_exists() -> None:
    """Double quotes are used for panels and rows of the dashboard only."""
    panels = json.loads(Path("compose/grafana/heartstream.json").read_text(encoding="utf-8"))["panels"]
    prose = re.sub(r"```.*?```|`[^`]+`", "", PAGE)
    assert set(re.findall(r'"([^"]+)"', prose)) - {panel["title"] for panel in panels} == set()


def test_every_link_resolves() -> None:
    """To a section of this page or to a file."""
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert Path("docs", path).exists() if path else anchor in anchors, target


def test_the_search_patterns_match_warnings_only() -> None:
    """As they are logged."""
    patterns = [found[1] for line in SHELL if (found := re.search(r"grep -E '([^']+)'", line))]
    line = structlog.processors.JSONRenderer()
    checked = {
        level: str(line(None, "", {"event": "partition stalled", "level": level})) for level in ("info", "warning")
    }
    assert patterns
    for pattern in patterns:
        assert (re.search(pattern, checked["warning"]) is None, re.search(pattern, checked["info"]) is None) == (
            False,
            True,
        )
