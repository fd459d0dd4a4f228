"""Every code block of the documentation is executed by a test, checked here, or output.

`text` and `console` are output; a line of theirs that begins with a prompt is checked like a shell block. In `sh`,
the commands of heartstream are parsed by its own parser, and its settings, routes and files must exist. `json`, `yaml`
and `toml` are parsed. `python` is executed by the test that is named here. Nothing else is allowed.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml
from cyclopts import CycloptsError

from heartstream.cli import app
from tests.support.code_blocks import PAGES, ROOT, Block, blocks, commands, inline_commands, own_arguments, typed

BLOCKS: Final = [block for page in PAGES for block in blocks(page)]
EXECUTED: Final = {
    "docs/formats.md": "tests/integration/heartstream/test_python_page.py",
    "docs/models.md": "tests/integration/training/test_mlflow_store.py",
    "docs/python.md": "tests/integration/heartstream/test_python_page.py",
}
"""The test that executes the Python of a page."""
NOT_EXECUTED: Final = {"docs/files.md"}
"""Apache Spark starts too slowly for one more job: tests/integration/heartstream/test_spark.py makes the same calls."""
OWN: Final = dict(re.findall(r"^  ([a-z]+)\) exec \S+ -m (\S+)", (ROOT / "run").read_text("utf-8"), re.MULTILINE))
"""The modules of the commands of `./run` that are not heartstream's."""
MODULES: Final = {"bench", "compose", "heartstream", "runtime", "schemas", "tests", "training"}
OF_SHELL: Final = {"test": {"--all"}, "lint": set(), "docs": {"--url"}}
"""The other ones, which are not modules, with their options."""
FOLDERS: Final = "api|bench|compose|docs|k8s|schemas|tests|training"
SETTINGS: Final = set(re.findall(r"`(HEARTSTREAM_\w+)`", (ROOT / "docs/settings.md").read_text("utf-8")))
ROUTES: Final = [
    re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
    for path in json.loads((ROOT / "schemas/json/openapi.json").read_text("utf-8"))["paths"]
]


def of_language(*languages: str) -> pytest.MarkDecorator:
    """Run a test with each block of these languages."""
    chosen = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def options_of(module: str) -> set[str] | None:
    """Return the options of a module of this repository, or None if there is no such module."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    texts = Path(spec.origin).parent.glob("*.py")  # a module may have options that its neighbours add
    return {option for each in texts for option in re.findall(r'"(--?[\w-]+)"', each.read_text("utf-8"))}


def unknown_options(arguments: list[str], known: set[str]) -> list[str]:
    """Return the options that are not known."""
    options = (each.partition("=")[0] for each in arguments if re.match(r"--?[a-z]", each))
    return [each for each in options if each not in {*known, "--help"}]


def problems_of(command: list[str]) -> list[str]:
    """Return what is wrong with the module, the command and the options of a call of ours."""
    arguments = own_arguments(command)
    if arguments is None and command[:2] == ["python", "-m"] and command[2].split(".")[0] in MODULES:
        known = options_of(command[2])
        return [f"there is no {command[2]}"] if known is None else unknown_options(command[3:], known)
    if not arguments or arguments[0].isupper():
        return []
    if command[0] == "./run" and arguments[0] in {*OWN, *OF_SHELL}:
        own = OF_SHELL[arguments[0]] if arguments[0] in OF_SHELL else options_of(OWN[arguments[0]])
        return unknown_options(arguments[1:], own or set())
    arguments = [each for each in arguments if each != "--help"]
    words, apps, _ = app.parse_commands(arguments)
    if apps[-1].default_command is None:
        return [f"heartstream {' '.join(arguments)}: there is no such command"] if len(arguments) > len(words) else []
    known = {name for argument in apps[-1].assemble_argument_collection() for name in argument.names}
    return [f"heartstream {' '.join(words)} has no {each}" for each in unknown_options(arguments, known)]


def test_every_block_has_a_language() -> None:
    """One of those that this module checks."""
    known = {"sh", "console", "text", "python", "json", "yaml", "toml"}
    assert [block.place for block in BLOCKS if block.language not in known] == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("heartstream train --quick", []),
        ("A=b heartstream nonsense", ["heartstream nonsense: there is no such command"]),
        ("heartstream model nonsense", ["heartstream model nonsense: there is no such command"]),
        ("true && heartstream train --slow 2>> log", ["heartstream train has no --slow"]),
        ("kubectl exec pod -- python -m heartstream top --twice", ["heartstream top has no --twice"]),
        ("./run faults --quick\n./run faults --nonsense", ["--nonsense"]),
        ("python -m tests.faults --quick --nonsense=1", ["--nonsense"]),
        ("python -m tests.nonsense", ["there is no tests.nonsense"]),
        ("./run docs --nonsense", ["--nonsense"]),
    ],
)
def test_an_unknown_command_or_option_is_found(script: str, expected: list[str]) -> None:
    """However the command is started."""
    assert [problem for command in commands(script) for problem in problems_of(command)] == expected


@of_language("sh", "console", "text")
def test_commands_of_ours_exist(block: Block) -> None:
    """With every option, and arguments that the command's own parser accepts."""
    for command in commands(typed(block)):
        assert problems_of(command) == []
        if (arguments := own_arguments(command)) and arguments[0] not in {*OWN, *OF_SHELL}:
            try:
                app.parse_args(arguments, exit_on_error=False, print_error=False)
            except CycloptsError as error:
                pytest.fail(f"{' '.join(command)}: {error}")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name != "decisions"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_in_the_text_exist(page: Path) -> None:
    """With their options; arguments may be left out there. A decision describes its own time."""
    assert [problem for command in inline_commands(page) for problem in problems_of(command)] == []


@of_language("sh", "console", "yaml", "text")
def test_settings_exist(block: Block) -> None:
    """docs/settings.md, which is generated, has each of them."""
    used = re.findall(r"\bHEARTSTREAM_\w+__\w+", block.text)
    unknown = {each for each in used if not {each, each.removesuffix("_FILE")} & SETTINGS}
    assert {each for each in unknown if not each.startswith("HEARTSTREAM_KAFKA__OPTIONS__")} == set()


@of_language("sh", "console")
def test_files_and_routes_exist(block: Block) -> None:
    """Each file of this repository, and each path of the gateway."""
    files = re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]+)", typed(block))
    assert [name for name in files if not (ROOT / name).exists()] == []
    routes = re.findall(r"localhost:8000(/[^\s'\"?]+)", typed(block))
    assert [route for route in routes if not any(each.fullmatch(route) for each in ROUTES)] == []


@of_language("json")
def test_json_can_be_parsed(block: Block) -> None:
    """A document, or one a line; `...` stands for what is left out."""
    text = re.sub(r"(?<=[{\[])\.\.\.(?:, )?|(?:,\s*)?\.\.\.(?=[}\]])", "", block.text)
    try:
        json.loads(text)
    except ValueError:
        assert [json.loads(line) for line in text.splitlines()]


@of_language("yaml")
def test_yaml_can_be_parsed(block: Block) -> None:
    """Those of Kubernetes and Compose are built in tests/k8s and tests/images, too."""
    assert list(yaml.safe_load_all(block.text))


@of_language("toml")
def test_toml_can_be_parsed(block: Block) -> None:
    """As Python reads it."""
    assert tomllib.loads(block.text)


@of_language("python")
def test_python_is_executed(block: Block) -> None:
    """By a test that reads the page."""
    assert ast.parse(block.text).body
    page = str(block.page.relative_to(ROOT))
    if page not in NOT_EXECUTED:
        test = EXECUTED[page]
        assert block.page.name in (ROOT / test).read_text("utf-8")
