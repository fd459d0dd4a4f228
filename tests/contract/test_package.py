"""The wheel and the sdist are complete, and the wheel works where only it is installed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartstream.demo.processes import Child
from runtime.ports import free_port
from runtime.settings import PREFIX
from schemas.extras import install_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
PATIENT = ROOT / "schemas" / "examples" / "patients" / "v1" / "accepted" / "complete.json"

SCORE_ONE = """
import sys
from pathlib import Path

import heartstream

print(heartstream.__file__)
print(*heartstream.load_model(sys.argv[1]).score([Path(sys.argv[2]).read_bytes()]))
"""


def build(source: Path, target: Path, *options: str) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", target, *options], cwd=source, check=True)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `./run build` makes."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, where dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", wheel)
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # A path file inside that folder, which leads to the checkout, is not followed from here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return folder


def contents(wheel: Path) -> dict[str, str]:
    """Each file of a wheel with its hash."""
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = csv.reader(io.StringIO(archive.read(record).decode()))
        return {name: digest for name, digest, _ in rows if name != record}


def environment(**settings: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith((PREFIX, "PYTHON"))} | settings


def output_of(clean: Path, folder: Path, *words: str | Path) -> str:
    command = (clean / "bin" / words[0], *words[1:])
    return subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True, text=True).stdout


def test_the_wheel_has_every_file_of_its_packages(wheel: Path) -> None:
    """Code and data alike, but the examples; and nothing else than these, and what describes it."""
    words = ("git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES)
    tracked = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    expected = {name for name in tracked.splitlines() if not name.startswith("schemas/examples/")}
    assert expected == {name for name in contents(wheel) if ".dist-info/" not in name}


def test_a_wheel_of_the_sdist_is_the_same(dist: Path, wheel: Path, tmp_path: Path) -> None:
    """File by file, byte by byte."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path, "-t", "wheel")
    assert contents(wheel) == contents(tmp_path / wheel.name)


def test_the_installed_command_works(clean: Path, model_dir: Path, tmp_path: Path) -> None:
    """Away from the checkout: help, package data, Python API, embedded Kafka's files."""
    assert "Usage: heartstream COMMAND" in output_of(clean, tmp_path, "heartstream", "--help")
    (tmp_path / "patients.csv").write_text(output_of(clean, tmp_path, "heartstream", "data", "patients"), "utf-8")
    assert len((tmp_path / "patients.csv").read_text("utf-8").splitlines()) == 921
    output_of(clean, tmp_path, "heartstream", "score", "patients.csv", "-o", "s.ndjson", "--model", model_dir)
    assert len((tmp_path / "s.ndjson").read_text("utf-8").splitlines()) == 920
    place, score = output_of(clean, tmp_path, "python", "-c", SCORE_ONE, model_dir, PATIENT).splitlines()
    assert (Path(place).is_relative_to(clean), score.startswith("Score(")) == (True, True)


def get(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body) as response:
        content: bytes = response.read()
        return content


@pytest.fixture
def gateway(clean: Path, model_dir: Path, tmp_path: Path) -> Iterator[str]:
    url, log = f"http://127.0.0.1:{(port := free_port())}", tmp_path / "log"
    settings = {f"{PREFIX}MODEL__PATH": str(model_dir), f"{PREFIX}GATEWAY__PORT": str(port)}
    command = [clean / "bin" / "heartstream", "gateway"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(**settings), stdout=output, stderr=output)
    try:
        Child("gateway", process, url, log).await_ready()
        yield url
    finally:
        process.terminate()
        process.wait(60)


def test_the_installed_gateway_serves_its_page(gateway: str) -> None:
    """With each file that the page names, the API description, and scores."""
    page = get(gateway).decode()
    named = re.findall(r'(?:src|href)="([^":#]+)"', page)
    assert named
    for name in (*named, "openapi.json"):
        assert get(f"{gateway}/{name}")
    assert 0 < json.loads(get(f"{gateway}/predict", PATIENT.read_bytes()))["risk"] < 1


def test_every_extra_is_described() -> None:
    """On docs/installing.md; and errors name extras that exist."""
    page = (ROOT / "docs" / "installing.md").read_text("utf-8")
    extras = PROJECT["project"]["optional-dependencies"].keys()
    assert sorted(re.findall(r"^\| `([a-z]+)` \|", page, re.MULTILINE)) == sorted(extras)
    sources = "".join(path.read_text("utf-8") for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    used = set(re.findall(rf"{install_command.__name__}\('([a-z]+)'\)", sources))
    assert used
    assert used - extras == set()
