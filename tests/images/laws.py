"""Laws of the contents of the images."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from compose.sbom import bill_of_materials
from heartstream.terminal.exit_codes import BAD_MODEL, BAD_USAGE
from scoring.scorer import Scorer
from tests.images.broker import Broker
from tests.images.build import TARGETS, Image, Target
from tests.images.container import HARDENED, as_root, inside
from tests.support.docker_cli import ROOT, attempt, inspect

SERVING: Final[tuple[Target, ...]] = ("worker", "gateway")
LARGEST_BYTES: Final = 250_000_000
_TRAINING_ONLY: Final = ("mlflow", "pandas", "matplotlib", "sklearn", "scipy", "training")
_COMPILERS: Final = ("gcc", "cc", "g++", "clang", "make", "rustc")
_UID: Final = "10001"


class Setting(msgspec.Struct, frozen=True):
    """What all laws share: the base's size, a model directory, its scorer, a broker, options for building."""

    base_bytes: int
    model: Path
    scorer: Scorer
    broker: Broker
    build_options: tuple[str, ...]


class Law(msgspec.Struct, frozen=True):
    """A law of some targets; `check` returns a summary, and raises if the law is violated."""

    name: str
    targets: tuple[Target, ...]
    check: Callable[[Image, Setting], str]


def size(image: Image, setting: Setting) -> str:
    """Each serving image is less than 250 MB larger than its base."""
    over = bytes_of(image.name) - setting.base_bytes
    assert image.target not in SERVING or over < LARGEST_BYTES, f"{over / 1e6:.0f} MB over the base"
    return f"{over / 1e6:.0f} MB"


def bytes_of(name: str) -> int:
    """Return the sum of the sizes of the files in an image: the size by Docker depends on how it stores images."""
    return sum(map(int, as_root(name, "find / -xdev -type f -printf '%s\\n'").split()))


def labels(image: Image, _: Setting) -> str:
    """The OCI labels describe the image; the version is the package's."""
    found = inspect("image", image.name)["Config"]["Labels"]
    said = {name.removeprefix("org.opencontainers.image."): text for name, text in found.items()}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert (said["title"], said["licenses"], said["version"]) == ("heartstream", "Apache-2.0", version), said
    assert "Research and education only" in said["description"]
    assert said["revision"], "no revision"
    assert "source" not in said or said["source"].startswith("https://")
    return version


def user(image: Image, _: Setting) -> str:
    """It runs as a user other than root, in fact and by its configuration."""
    configured, actual = inspect("image", image.name)["Config"]["User"], inside(image.name, "id -u").strip()
    assert (configured, actual) == (f"{_UID}:{_UID}", _UID), f"user {configured}, id {actual}"
    return f"uid {_UID}"


def tools(image: Image, _: Setting) -> str:
    """It has no compiler and no cache of pip."""
    compilers = f"for each in {' '.join(_COMPILERS)}; do command -v $each; done; true"
    caches = "find / -xdev -type d \\( -path '*/.cache/pip' -o -path '*/pip/http*' \\)"
    found = as_root(image.name, f"{compilers}; {caches}").split()
    assert found == [], f"found {found}"
    return "none"


def imports(image: Image, _: Setting) -> str:
    """Packages that only training needs are importable only in the training image."""
    program = "import importlib.util, sys; print(*[each for each in sys.argv[1:] if importlib.util.find_spec(each)])"
    found = inside(image.name, f"python -c '{program}' {' '.join(_TRAINING_ONLY)}").split()
    assert found == ([] if image.target in SERVING else list(_TRAINING_ONLY)), f"can be imported: {found}"
    return "in it" if found else "not in it"


def no_model(image: Image, _: Setting) -> str:
    """Without a model it prints one line, and exits with the code of an invalid model."""
    done = attempt("docker", "run", "--rm", *HARDENED, image.name)
    assert "heartstream: no model at /model" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == BAD_MODEL, f"exit {done.returncode}"
    return f"exit {done.returncode}"


def no_such_command(image: Image, _: Setting) -> str:
    """For an unknown command it prints an error without a traceback."""
    done = attempt("docker", "run", "--rm", *HARDENED, image.name, "nonsense")
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-500:]
    assert (done.returncode, '"nonsense"' in said) == (BAD_USAGE, True), f"exit {done.returncode}: {said}"
    return f"exit {done.returncode}"


def bill_matches(image: Image, _: Setting) -> str:
    """The bill of materials is valid, and lists exactly what Python and dpkg find in the container."""
    document = bill_of_materials(image.name)
    invalid = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    assert invalid is None, str(invalid)
    components: list[dict[str, Any]] = document["components"]
    vague = [each["name"] for each in components if not each.get("version") or not each.get("purl")]
    assert vague == [], f"without version or purl: {vague}"
    found = [line.split("\t") for line in inside(image.name, f"python -c '{_ASK_PYTHON}'").splitlines()]
    python = _of_kind(components, "pkg:pypi/", "pkg:generic/heartstream")
    _same(python, [(name, version) for name, version, _ in found])
    licensed = {each["name"] for each in python if each.get("licenses")}
    silent = [name for name, _, licence in found if licence and name not in licensed]
    assert silent == [], f"their licences are known, but not listed: {silent}"
    debian = inside(image.name, "dpkg-query --show --showformat '${Package}\\t${Version}\\n'").splitlines()
    _same(
        _of_kind(components, "pkg:deb/"), [(name, version) for name, version in (line.split("\t") for line in debian)]
    )
    return f"{len(found)} Python, {len(debian)} Debian"


_ASK_PYTHON: Final = """from importlib.metadata import distributions
for each in distributions():
    print(each.metadata["Name"], each.version, each.metadata.get("License-Expression", ""), sep="\\t")"""


def _of_kind(components: Sequence[dict[str, Any]], *prefixes: str) -> list[dict[str, Any]]:
    return [each for each in components if each["purl"].startswith(prefixes)]


def _same(components: Sequence[dict[str, Any]], found: Sequence[tuple[str, str]]) -> None:
    listed = [(each["name"], each["version"]) for each in components]
    assert sorted(listed) == sorted(found), f"in one and not in the other: {set(listed) ^ set(found)}"


LAWS: Final = (
    Law("size over its base", TARGETS, size),
    Law("labels", TARGETS, labels),
    Law("runs as", TARGETS, user),
    Law("compilers and caches", TARGETS, tools),
    Law("training's libraries", TARGETS, imports),
    Law("without a model", SERVING, no_model),
    Law("an unknown command", TARGETS, no_such_command),
    Law("bill of materials", TARGETS, bill_matches),
)
