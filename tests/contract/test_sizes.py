"""Functions and modules stay small enough to be read at once: 40 lines, and 300.

The signatures of commands are longer, as each option has its help text beside it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FUNCTION_LINES, MODULE_LINES = 40, 300
ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "heartstream/cli"
PACKAGES = ("api", "heartstream", "runtime", "schemas", "scoring", "training", "worker")
FOLDERS = (*PACKAGES, "bench", "compose", "docs", "k8s", "tests")


def long_functions(module: str) -> list[str]:
    """Return the names of functions with more lines than `FUNCTION_LINES`."""
    return [
        node.name
        for node in ast.walk(ast.parse(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]


def test_modules_and_functions_are_short() -> None:
    """A longer one is split by subject."""
    found = {}
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        functions = [] if COMMANDS in path.parents else long_functions(text)
        if functions or text.count("\n") > MODULE_LINES:
            found[str(path.relative_to(ROOT))] = functions or ["the module"]
    assert found == {}


@pytest.mark.parametrize(("lines", "expected"), [(FUNCTION_LINES, []), (FUNCTION_LINES + 1, ["long"])])
def test_a_long_function_is_found(lines: int, expected: list[str]) -> None:
    """The signature counts."""
    assert long_functions("def long():\n" + "    pass\n" * (lines - 1)) == expected
