"""Laws of the logs: they are structured and hold no patient data."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

from runtime import logs
from runtime.generate.telemetry import EVENT_SOURCES

MARKER = "Jane-Doe-63"

PROGRAM = f"""
import logging
from runtime import events, logs
from runtime.settings import Telemetry
from schemas.errors import DependencyError
logs.configure(Telemetry())
def fail():
    patient = {{"name": "{MARKER}"}}
    raise ValueError(f"could not convert string to float: {{patient}}")
try:
    fail()
except ValueError as error:
    events.RequestFailed(error).emit()
    logging.getLogger("aiohttp").exception("a library failed")
    logging.getLogger("mode").error("Crashed reason=%r", error)
try:
    raise DependencyError("the broker is gone")
except DependencyError as error:
    events.ProcessFailed("worker", error).emit()
import structlog
structlog.get_logger("elsewhere").warning("a field that nobody knows", patient="{MARKER}", records=3)
"""


def lines() -> list[dict[str, object]]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert MARKER not in ran.stderr + ran.stdout
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_an_exception_is_logged_without_its_text_and_locals() -> None:
    """An unknown exception's message and locals may be patient data: only its type and code locations are logged."""
    ours, library, *_ = lines()
    assert ours["exception"]["type"] == library["exception"]["type"] == "builtins.ValueError"
    assert ours["exception"]["frames"]


def test_our_own_errors_keep_their_text() -> None:
    """The text of the project's own errors is logged, as it holds no patient data."""
    assert lines()[-2]["exception"]["message"] == "the broker is gone"


def test_a_field_that_is_not_on_the_allowlist_is_left_out() -> None:
    """The line names the field that was left out, for whoever logged it by mistake."""
    line = lines()[-1]
    assert (line["event"], line["records"], line["dropped_fields"]) == ("a field that nobody knows", 3, 1)


def test_every_field_of_an_event_is_on_the_allowlist() -> None:
    """No field that an event logs is left out."""
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in EVENT_SOURCES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    logged = [call for call in calls if call.func.attr in {"info", "warning", "error", "bind"}]
    fields = {keyword.arg for call in logged for keyword in call.keywords} - {"exc_info"}
    assert len(fields) > 20
    assert fields <= logs.FIELDS


def test_an_exception_among_a_librarys_arguments_is_not_filled_in() -> None:
    """Faust logs crashes with the exception's text in the line itself: only the template is logged."""
    assert lines()[2]["event"] == "Crashed reason=%r"
