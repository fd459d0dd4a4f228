"""Building the images, with BuildKit or with the classic builder."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from tests.support.docker_cli import ROOT, docker

Target = Literal["worker", "gateway", "train"]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)
OPTIONS: Final = "HEARTSTREAM_DOCKER_BUILD"
BASE: Final = "python:3.11-slim"
DOCKERFILE: Final = ROOT / "compose" / "Dockerfile"
_BUILD_SECONDS: Final = 1800


class Image(msgspec.Struct, frozen=True):
    """A target of the Dockerfile, built under a name."""

    target: Target
    name: str


def named(tag: str) -> list[Image]:
    """Return the three images with this tag."""
    return [Image(target, f"heartstream-{target}:{tag}") for target in TARGETS]


def build_options() -> tuple[str, ...]:
    """Return the additional options of `docker build` from the environment."""
    return tuple(shlex.split(os.environ.get(OPTIONS, "")))


def build(image: Image, options: Sequence[str], context: Path = ROOT) -> None:
    """Build one target with additional options of `docker build`; raises DependencyError if that fails."""
    chosen = ("--target", image.target, "--tag", image.name, *options)
    docker("build", "--file", str(context / "compose" / "Dockerfile"), *chosen, str(context), seconds=_BUILD_SECONDS)


@contextmanager
def baked(image: Image, model: Path, options: Sequence[str]) -> Iterator[Image]:
    """Build the image with a model in it, from a copy of the build context with the model; remove it afterwards."""
    copy = Image(image.target, f"{image.name}-baked")
    with tempfile.TemporaryDirectory(prefix="heartstream-context-") as folder:
        context = Path(folder)
        copy_context(context)
        shutil.copytree(model, context / "model", dirs_exist_ok=True)
        build(copy, (*options, "--build-arg", "MODEL=model"), context)
    try:
        yield copy
    finally:
        docker("image", "rm", copy.name)


def copy_context(folder: Path) -> None:
    """Copy the build context that `.dockerignore` allows, and the files that control a build, without a model."""
    ignore = ROOT / ".dockerignore"
    for pattern in context_patterns(ignore.read_text("utf-8")):
        for source in ROOT.glob(pattern):
            target = folder / source.relative_to(ROOT)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    shutil.copyfile(ignore, folder / ".dockerignore")
    shutil.copyfile(DOCKERFILE, folder / "compose" / "Dockerfile")


def context_patterns(ignore: str) -> list[str]:
    """Return the patterns that a `.dockerignore` allows, if it excludes everything else, without the model."""
    allowed = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    return [pattern for pattern in allowed if pattern != "model"]
