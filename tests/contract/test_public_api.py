"""`heartstream` is the public Python API: its names and signatures are a contract, and documentation uses nothing else.

After an intended change: `python -m tests.contract.test_public_api` writes the snapshot.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

import heartstream
from heartstream import spark

ROOT: Final = Path(__file__).parents[2]
SNAPSHOT: Final = Path(__file__).with_name("public_api.txt")
PACKAGES: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["packages"]
PAGES: Final = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/design/*.md",
        "docs/tutorials/*.md",
        "compose/*.md",
        "k8s/**/*.md",
        "schemas/**/*.md",
    )
    for path in ROOT.glob(pattern)
)
CONSUMER: Final = """
import sys
before = {*sys.modules}
from heartstream import RepeatFilter, decode_dead_letter, decode_score
print(*{*sys.modules} - before)
"""
BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def described() -> str:
    """Describe everything public, one line each."""
    lines = [line for name in heartstream.__all__ for line in _described(name, getattr(heartstream, name))]
    return "".join(f"{line}\n" for line in [*lines, f"spark.score{inspect.signature(spark.score)}"])


def _described(name: str, what: object) -> Iterator[str]:
    if not inspect.isclass(what):
        yield f"{name}{inspect.signature(what) if callable(what) else f' = {what!r}'}"
        return
    yield f"class {name}({', '.join(base.__name__ for base in what.__bases__)})"
    if issubclass(what, msgspec.Struct):
        for field in msgspec.structs.fields(what):
            default = "" if field.default is msgspec.NODEFAULT else f" = {field.default!r}"
            yield f"    {field.name}: {inspect.get_annotations(what)[field.name]}{default}"
    for member, value in sorted(vars(what).items()):
        if isinstance(value, property):
            yield f"    {member} -> {inspect.get_annotations(value.fget or _described)['return']}"
        elif inspect.isfunction(value) and _is_public(name, member):
            yield f"    {member}{inspect.signature(value)}"


def _is_public(name: str, member: str) -> bool:
    """Return whether users call a method: the constructors of `Model` and `Results` are private."""
    return not member.startswith("_") or (member == "__init__" and name not in {"Model", "Results"})


def test_names_and_signatures_are_those_of_the_snapshot() -> None:
    """A removed name or a changed signature is a decision, not an accident."""
    assert SNAPSHOT.read_text("utf-8") == described()


def test_every_public_name_is_importable_and_documented() -> None:
    """Names are listed by `dir`; unknown ones raise AttributeError."""
    assert set(heartstream.__all__) <= set(dir(heartstream))
    undocumented = [name for name in heartstream.__all__ if not inspect.getdoc(getattr(heartstream, name))]
    assert undocumented == []
    assert heartstream.spark is spark
    with pytest.raises(AttributeError, match="module 'heartstream' has no attribute 'decode_scores'"):
        heartstream.decode_scores  # type: ignore[attr-defined]  # noqa: B018


def test_a_consumer_imports_no_framework() -> None:
    """Decoding results and dropping repeats imports neither Faust nor an engine nor NumPy."""
    done = subprocess.run([sys.executable, "-c", CONSUMER], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - sys.stdlib_module_names <= {"heartstream", "schemas", "msgspec", "typing_extensions"}
    assert {"heartstream", "schemas"} <= loaded


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    """Type checkers follow public types into packages that have a `py.typed`."""
    assert (ROOT / package / "py.typed").is_file()


TYPED: Final = """
from heartstream import Model, Rejection, Results, Score, decode_score, load_model
from heartstream.spark import score

model: Model = load_model("model")
results: Results = model.score([{"patient_id": "p-1"}, b"{}", None])
result: Score | Rejection = results[0]
risk: float = decode_score(b"{}").risk
"""
UNTYPED: Final = """
import heartstream

heartstream.decode_scores
heartstream.load_model(4711)
heartstream.load_model("model").score([4711])
"""


@pytest.mark.slow
def test_lazy_names_are_typed(tmp_path: Path) -> None:
    """Lazily imported names have their types, and an unknown name is an error."""
    assert _mypy(TYPED, tmp_path) == []
    assert [line.split("[")[-1] for line in _mypy(UNTYPED, tmp_path)] == ["attr-defined]", "arg-type]", "list-item]"]


def _mypy(program: str, folder: Path) -> list[str]:
    """Return mypy's errors in a program."""
    path = folder / "program.py"
    path.write_text(program, "utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


@each_page
def test_documentation_imports_only_public_names(page: Path) -> None:
    """They are in `heartstream.__all__`, or `heartstream.spark.score`."""
    blocks = map(ast.parse, BLOCK.findall(page.read_text("utf-8")))
    imported = [name for block in blocks for node in ast.walk(block) for name in _imported(node)]
    public = {*(f"heartstream.{name}" for name in heartstream.__all__), "heartstream", "heartstream.spark.score"}
    assert [name for name in imported if name.split(".")[0] in PACKAGES and name not in public] == []


def _imported(node: ast.AST) -> list[str]:
    """Return the full names that a statement imports."""
    match node:
        case ast.ImportFrom(module=str(module), names=names):
            return [f"{module}.{alias.name}" for alias in names]
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case _:
            return []


@each_page
def test_documentation_uses_public_names_for_public_objects(page: Path) -> None:
    """No page refers to the private module that happens to define one."""
    found = [(getattr(heartstream, name), name) for name in heartstream.__all__]
    homes = {f"{what.__module__}.{name}" for what, name in found if hasattr(what, "__module__")}
    text = page.read_text("utf-8")
    assert [home for home in sorted(homes) if home in text] == []


if __name__ == "__main__":
    SNAPSHOT.write_text(described(), "utf-8")
