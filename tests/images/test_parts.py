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
    """Each has name, version and package URL; removed packages are omitted."""
    found = list(debian_components(STATUS, "debian-12"))
    assert [(each["name"], each["version"]) for each in found] == [("libc6", "2.36-9+deb12u14"), ("netbase", "1:6.4~x")]
    assert [each["purl"] for each in found] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12",
        "pkg:deb/debian/netbase@1%3A6.4~x?arch=all&distro=debian-12",
    ]


def test_the_distribution_is_read_from_os_release() -> None:
    """The distribution is named as in package URLs; it is empty without the file."""
    assert distro('PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nID=debian\n') == "debian-12"
    assert distro("") == ""


def test_the_build_context_follows_dockerignore() -> None:
    """The patterns are those of `.dockerignore`, without a model even if there is one."""
    assert context_patterns("# text\n*\n!README.md\n!requirements/*.lock\n!model\n**/__pycache__\n") == [
        "README.md",
        "requirements/*.lock",
    ]


def test_a_copied_context_has_all_that_the_dockerfile_copies(tmp_path: Path) -> None:
    """Every source of a COPY is in the copy, so an image with a model is built from the same files."""
    copy_context(tmp_path)
    text = Path("compose/Dockerfile").read_text("utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    sources = [source for line in copied for source in line if not source.startswith("$")]
    assert len(sources) > 10
    assert [source for source in sources if not (tmp_path / source).exists()] == []


def test_the_smoke_test_starts_the_services_of_compose() -> None:
    """Every image that compose builds is tested."""
    services = yaml.safe_load(Path("compose/compose.yaml").read_text("utf-8"))["services"]
    assert set(SERVICES) - set(services) == set()
    assert {name for name, service in services.items() if "build" in service} - set(SERVICES) == set()


def test_a_violation_is_in_the_table_and_explained_below() -> None:
    """The table has one row per law and one column per image, and the reason follows below."""
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


def test_checked_images_have_their_own_tag() -> None:
    """A check does not overwrite the images that somebody uses."""
    assert [image.name for image in named("checked")] == [
        "heartstream-worker:checked",
        "heartstream-gateway:checked",
        "heartstream-train:checked",
    ]
