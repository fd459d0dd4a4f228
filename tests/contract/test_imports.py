"""Tests share code through `tests/support` and `tests/fakes`, never by importing each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
SHARED: Final = ("tests.support", "tests.fakes")
BORROWED: Final = {
    # The laws of Kafka's clients run on the simulated Kafka and on a real one.
    "tests.integration": ("tests.simulation",),
    # The cluster runs the images that `tests.images` builds.
    "tests.k8s": ("tests.images",),
    # What the manifests grant is enough on a broker that denies all else.
    "tests.integration.worker": ("tests.k8s.manifests",),
    # The fault suite's acceptor agrees with the model.
    "tests.model": ("tests.faults",),
}
"""Suites that use another suite's code, and why."""


def is_in(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of `tests` that a module imports, at any level."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and is_in(node.module or "", "tests"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = (TESTS.parent / f"{name.replace('.', '/')}.py").exists()
                yield name if is_module else str(node.module)


def may_import(importer: str, imported: str) -> bool:
    """Return whether a helper is shared, in the module's folder or above, in its suite, or borrowed."""
    *folder, name = imported.split(".")
    if name == "conftest" or name.startswith("test_"):
        return False
    borrowed = [each for owner, packages in BORROWED.items() if is_in(importer, owner) for each in packages]
    suite = ".".join(importer.split(".")[:2])
    own = () if suite in {"tests.unit", "tests.integration", *SHARED} else (suite,)
    return is_in(importer, ".".join(folder)) or any(is_in(imported, each) for each in (*SHARED, *own, *borrowed))


def test_no_test_module_imports_another_test_module() -> None:
    """Tests import `tests.support`, `tests.fakes` and helpers of their own suite or folder."""
    modules = {path: ".".join(path.relative_to(TESTS.parent).with_suffix("").parts) for path in TESTS.rglob("*.py")}
    refused = [
        (module, imported)
        for path, module in modules.items()
        for imported in imports(path)
        if not may_import(module, imported)
    ]
    assert refused == []
