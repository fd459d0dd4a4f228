"""Builds the images and checks them: `python -m tests.images --help`."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from heartstream.brokers import IMAGE, docker_is_usable
from heartstream.terminal.exit_codes import FAILED, UNAVAILABLE, errors_to_exit_codes
from schemas.errors import DependencyError
from scoring.scorer import Scorer
from tests.images import composed, laws, running_containers
from tests.images.broker import running_broker
from tests.images.build import BASE, OPTIONS, Image, build, build_options, named
from tests.images.table import Finding, as_json, lines
from tests.support.docker_cli import docker_answers, log_progress
from training.pipeline import TrainingRequest, train

TAG: Final = "checked"
PARTS: Final = ("images", "compose")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, check and report, with the command's options; raises SystemExit."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.INFO)
    with errors_to_exit_codes():
        findings = list(_findings(options.only or PARTS, build_first=not options.no_build))
    sys.stdout.write("\n".join(lines(findings)) + "\n")
    if options.json:
        options.json.write_bytes(as_json(findings))
    if any(finding.broken for finding in findings):
        raise SystemExit(FAILED)


def _findings(parts: Sequence[str], *, build_first: bool) -> Iterator[Finding]:
    if not docker_answers() or not docker_is_usable():
        raise DependencyError(f"this needs Docker with {IMAGE}")
    images, build_args = named(TAG), build_options()
    if build_first:
        for image in images:
            log_progress(f"building {image.name}")
            build(image, build_args)
    if "images" in parts:
        yield from _of_images(images, build_args)
    if "compose" in parts:
        yield from _of_compose(images)


def _of_images(images: Sequence[Image], build_args: tuple[str, ...]) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="heartstream-images-") as folder, running_broker() as broker:
        model = Path(folder) / "model"
        train(TrainingRequest(model, model_version="images", quick=True))
        # The images run as another user.
        Path(folder).chmod(0o755)
        setting = laws.Setting(laws.bytes_of(BASE), model, Scorer.from_directory(model), broker, build_args)
        for law in (*laws.LAWS, *running_containers.LAWS):
            for image in images:
                if image.target in law.targets:
                    yield _finding(law.name, image.target, lambda law=law, image=image: law.check(image, setting))


def _of_compose(images: Sequence[Image]) -> Iterator[Finding]:
    log_progress("starting compose")
    try:
        with composed.started(images) as project:
            yield Finding("starts", "compose", "all services")
            for name, check in composed.LAWS.items():
                yield _finding(name, "compose", lambda check=check: check(project))
    except DependencyError as error:
        yield Finding("starts", "compose", "", str(error))
    else:
        yield _finding("leaves nothing", "compose", lambda: composed.nothing_left(project))


def _finding(law: str, subject: str, check: Callable[[], str]) -> Finding:
    """Check a law. An exception of a check is its result, and the other laws are still checked."""
    try:
        finding = Finding(law, subject, check())
    except Exception as error:  # noqa: BLE001  # any error means that the law was not confirmed
        reason = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
        finding = Finding(law, subject, "", f"{type(error).__name__}: {reason}")
    log_progress(f"{subject}: {law}: {finding.seen or 'BROKEN: ' + finding.broken}")
    return finding


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.images",
        description="Build the container images, run them, and test them: size, start, permissions, "
        "contents, bill of materials; then start compose/compose.yaml and send records through it.",
        epilog=f"{OPTIONS} holds further options of `docker build`, such as `--network host`. The images are called "
        f"heartstream-worker:{TAG} and so on, and stay. Example: ./run images --only images --json images.json. "
        f"Exit codes: 0 all checks pass; {FAILED} a check fails; {UNAVAILABLE} no Docker, or a build fails.",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help="images or compose alone")
    parser.add_argument("--no-build", action="store_true", help=f"take the images tagged `{TAG}` that are there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file too")
    return parser


if __name__ == "__main__":
    main()
