"""The CI workflows are secure, and everything that they run exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = sorted(Path(".github/workflows").glob("*.yml"))
NAMES = [path.name for path in WORKFLOWS]
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
COMMAND = re.compile(r"\./run ([a-z]+)")
SCRIPT = re.compile(r"(?:^|[\s|])(\.ci/[a-z]+|(?:k8s|compose|tests|requirements)/[\w./-]+)", re.MULTILINE)
OWN_COMMAND = re.compile(r"^  ([a-z]+)\)", re.MULTILINE)


def read(path: Path) -> dict[str, Any]:
    """Parse a workflow; YAML 1.1 reads the key `on` as true."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in found.items()}


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job.get("steps", [])


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_every_action_is_pinned_by_commit(path: Path) -> None:
    """By 40 hexadecimal digits with the version in a comment, unless it is a workflow of this repository."""
    uses = re.findall(r"uses: (.+)", path.read_text("utf-8"))
    assert [each for each in uses if not PINNED.fullmatch(each) and not each.startswith("./")] == []


def test_an_action_has_one_version() -> None:
    """An action has the same commit everywhere, which the decision record lists."""
    text = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    pins = {tuple(each) for each in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (v[\d.]+)", text)}
    assert {name: count for name, count in Counter(name for name, *_ in pins).items() if count > 1} == {}
    (record,) = Path("docs/decisions").glob("0022-*.md")
    scripts = re.findall(
        r"^\| `([\w./-]+)` \| (v[\d.]+) \| `([0-9a-f]{40})` \|", record.read_text("utf-8"), re.MULTILINE
    )
    assert {(name, sha, version) for name, version, sha in scripts} == pins


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_permissions_are_granted_per_job(path: Path) -> None:
    """A workflow has none; each job names its own."""
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if "permissions" not in job] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_every_job_has_a_timeout(path: Path) -> None:
    """Except jobs that call a workflow, whose jobs have one."""
    jobs = read(path)["jobs"]
    assert [name for name, job in jobs.items() if "timeout-minutes" not in job and "uses" not in job] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_scripts_contain_no_expression(path: Path) -> None:
    """External input reaches a script through a variable, never as its text."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_everything_that_is_run_exists(path: Path) -> None:
    """Every `./run X` is a command, and every path of a script or of the test matrix exists."""
    scripts = "\n".join(step.get("run", "") for step in steps(path)) + "\n" + "\n".join(listed_tests(path))
    assert set(COMMAND.findall(scripts)) - commands() == set()
    assert [name for name in SCRIPT.findall(scripts) if not Path(name).exists()] == []


def test_every_test_is_run_once() -> None:
    """Each test file is in exactly one job of the matrix."""
    listed = [file for folder in listed_tests(Path(".github/workflows/ci_cd.yml")) for file in files_of(Path(folder))]
    assert sorted(listed) == sorted(files_of(Path("tests")))


def listed_tests(path: Path) -> list[str]:
    """Return the test files and folders of a workflow's matrices."""
    rows = [
        row
        for job in read(path)["jobs"].values()
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [])
    ]
    return [name for row in rows for name in row["tests"].split()]


def files_of(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("test_*.py"))


def commands() -> set[str]:
    """Return the commands of `./run`: its own and heartstream's."""
    return {*own_commands(), *heartstream_commands()}


def own_commands() -> list[str]:
    """Return the commands that `./run` handles itself."""
    return OWN_COMMAND.findall(Path("run").read_text("utf-8"))


def heartstream_commands() -> list[str]:
    """Return the commands that `./run` passes on."""
    shown = subprocess.run([sys.executable, "-m", "heartstream", "--help"], capture_output=True, text=True, check=True)
    return re.findall(r"^│ ([a-z]+) ", shown.stdout, re.MULTILINE)


def test_no_command_of_run_hides_one_of_heartstream() -> None:
    """`./run model check` is `heartstream model check`."""
    assert {"test", "tla"} <= {*own_commands()}
    assert {"model", "train"} <= {*heartstream_commands()}
    assert {*own_commands()} & {*heartstream_commands()} == set()


def test_zizmor_finds_nothing() -> None:
    """Rules that need GitHub (is the commit the tag's?) do not run offline."""
    zizmor = Path(sys.executable).parent / "zizmor"
    options = ("--offline", "--persona=auditor", "--strict-collection", "--no-progress", "--quiet")
    done = subprocess.run([zizmor, *options, ".github"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_zizmor_detects_violations(tmp_path: Path) -> None:
    """A workflow that is not pinned and interpolates a title is refused."""
    workflow = tmp_path / ".github" / "workflows" / "bad.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - uses: actions/checkout@v4\n      - run: echo ${{ github.event.pull_request.title }}\n",
        "utf-8",
    )
    zizmor = Path(sys.executable).parent / "zizmor"
    done = subprocess.run([zizmor, "--offline", "--quiet", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_actionlint_finds_nothing() -> None:
    """If actionlint is installed; it is not a Python package."""
    actionlint = shutil.which("actionlint") or shutil.which("actionlint", path=Path("~/go/bin").expanduser())
    if actionlint is None:
        pytest.skip("actionlint is not installed: go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12")
    done = subprocess.run([actionlint], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
