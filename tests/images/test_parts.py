"""The parts of `./run images` and `./run sbom` that need no Docker."""

from __future__ import annotations

from pathlib import Path

import yaml

from compose.sbom import debian_components, distro
from tests.images.build import context_patterns, copy_context, named
from tests.images.composed import SERVICES
from tests.images.table import Finding, lines

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Description: GNU C Library
 a longer text

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: netbase
Status: install ok installed
Architecture: all
Version: 1:6.4~x
"""


def test_installed_debian_packages_are_components() -> None:
    """A package that is installed has its name, version and package URL; one that was removed is left out."""
    found = list(debian_components(STATUS, "debian-12"))
    assert [(each["name"], each["version"]) for each in found] == [("libc6", "2.36-9+deb12u14"), ("netbase", "1:6.4~x")]
    assert [each["purl"] for each in found] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12",
        "pkg:deb/debian/netbase@1%3A6.4~x?arch=all&distro=debian-12",
    ]


def test_the_distribution_is_read_from_its_file() -> None:
    """As package URLs name it; nothing where there is no file."""
    assert distro('PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nID=debian\n') == "debian-12"
    assert distro("") == ""


def test_the_context_is_what_the_build_may_see() -> None:
    """What `.dockerignore` lets in, without a model that may lie there."""
    assert context_patterns("# text\n*\n!README.md\n!requirements/*.lock\n!model\n**/__pycache__\n") == [
        "README.md",
        "requirements/*.lock",
    ]


def test_a_copied_context_has_all_that_the_dockerfile_copies(tmp_path: Path) -> None:
    """Every source of a COPY is in the copy, so that an image with a model in it is built of the same files."""
    copy_context(tmp_path)
    text = Path("compose/Dockerfile").read_text("utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    sources = [source for line in copied for source in line if not source.startswith("$")]
    assert len(sources) > 10
    assert [source for source in sources if not (tmp_path / source).exists()] == []


def test_the_services_that_are_started_are_those_of_compose() -> None:
    """Every service of the smoke test is one of compose.yaml, and every image that is built there is tried."""
    services = yaml.safe_load(Path("compose/compose.yaml").read_text("utf-8"))["services"]
    assert set(SERVICES) - set(services) == set()
    assert {name for name, service in services.items() if "build" in service} - set(SERVICES) == set()


def test_a_broken_law_is_in_the_table_and_told_below_it() -> None:
    """A row a law, a column an image; what is broken is named with its reason."""
    findings = [
        Finding("size", "worker", "247 MB"),
        Finding("size", "gateway", "", "251 MB over the base"),
        Finding("records flow", "compose", "920 scores"),
    ]
    assert lines(findings) == [
        "              worker  gateway  train  compose",
        "size          247 MB  BROKEN",
        "records flow                          920 scores",
        "BROKEN: size, gateway: 251 MB over the base",
    ]


def test_images_have_names_of_their_own() -> None:
    """A check does not overwrite the images that somebody works with."""
    assert [image.name for image in named("checked")] == [
        "heartstream-worker:checked",
        "heartstream-gateway:checked",
        "heartstream-train:checked",
    ]
