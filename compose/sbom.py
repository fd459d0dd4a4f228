"""The bill of materials of an image, made of what is really in it: `python -m compose.sbom --help`.

The image's file system is exported; cyclonedx-py reads the Python packages in it as the image's own interpreter would
find them, and dpkg's records name the Debian packages. Not in it: libraries that wheels carry compiled in.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

Bill = dict[str, Any]

_PACKAGE_RECORDS: Final = (".dist-info", ".egg-info")
_DPKG_STATUS: Final = "var/lib/dpkg/status"
_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_ASK_INTERPRETER: Final = "import json, sys, platform; print(json.dumps([sys.path[1:], platform.python_version()]))"
_OWN_PACKAGES: Final = {"heartstream": "application", "heartstream-native": "library"}


def bill_of_materials(image: str) -> Bill:
    """Return the CycloneDX 1.6 document of an image that Docker has; the same image gives the same document.

    Raises subprocess.CalledProcessError where Docker or cyclonedx-py refuse.
    """
    path, python_version = json.loads(_docker("run", "--rm", "--entrypoint", "python", image, "-c", _ASK_INTERPRETER))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _export(image, root)
        bill = _python_bill(root, path)
        debian = [*debian_components(_read(root, _DPKG_STATUS), distro(_os_release(root)))]
    bill["components"] = [*map(_with_purl, bill["components"]), _interpreter(python_version), *debian]
    bill["metadata"]["component"] = _main_component(image)
    bill["dependencies"].append({"ref": "image", "dependsOn": sorted(each["bom-ref"] for each in bill["components"])})
    return bill


def debian_components(status: str, distribution: str) -> Iterator[Bill]:
    """Yield the components of the packages that dpkg's status file calls installed."""
    for paragraph in status.strip().split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"] != "install ok installed":
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{name}@{quote(version, safe='.-~')}?arch={architecture}"
        yield {
            "type": "library",
            "bom-ref": f"deb:{name}:{architecture}={version}",
            "name": name,
            "version": version,
            "purl": f"{purl}&distro={distribution}" if distribution else purl,
        }


def distro(os_release: str) -> str:
    """Return the distribution as package URLs name it, such as debian-12; empty if the file does not say."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    parts = [shlex.split(fields[name])[0] for name in ("ID", "VERSION_ID") if name in fields]
    return "-".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the bill of materials of one image."""
    parser = argparse.ArgumentParser(
        prog="python -m compose.sbom",
        description="Write the bill of materials of an image: CycloneDX 1.6 JSON, from what is really in it.",
        epilog="Example: ./run sbom heartstream-worker --output worker.cdx.json. "
        "Exit codes: 0 written; 1 Docker does not have the image, or cannot be asked.",
    )
    parser.add_argument("image", help="name or id of an image that Docker has")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write; standard output if left out")
    asked = parser.parse_args(arguments)
    try:
        text = json.dumps(bill_of_materials(asked.image), indent=2) + "\n"
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stderr)
        raise SystemExit(1) from error
    except FileNotFoundError as error:
        sys.stderr.write(f"there is no command {error.filename}: this needs Docker\n")
        raise SystemExit(1) from error
    if asked.output is None:
        sys.stdout.write(text)
    else:
        asked.output.write_text(text, encoding="utf-8")


def _docker(*arguments: str) -> str:
    return _run("docker", *arguments)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


def _export(image: str, root: Path) -> None:
    """Copy the package metadata out of the file system of the image."""
    container = _docker("create", "--entrypoint", "none", image).strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:  # noqa: S607  # as PATH has it
            with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
                for member in archive:
                    if member.isfile() and _is_package_metadata(member.name):
                        archive.extract(member, root, filter="data")
            if export.wait():
                raise subprocess.CalledProcessError(export.returncode, "docker export", stderr="docker export failed\n")
    finally:
        _docker("rm", "--force", container)


def _is_package_metadata(name: str) -> bool:
    inside = any(part.endswith(_PACKAGE_RECORDS) for part in PurePosixPath(name).parts)
    return inside or name in (_DPKG_STATUS, *_OS_RELEASE)


def _python_bill(root: Path, path: Sequence[str]) -> Bill:
    """Let cyclonedx-py look through the exported folders of the image's `sys.path`.

    It asks an interpreter for its path; this one answers with the image's.
    """
    inside = [str(root / each.lstrip("/")) for each in path]
    interpreter = root.parent / "python"
    interpreter.write_text(f"#!/bin/sh\necho {shlex.quote(json.dumps(inside))}\n", encoding="utf-8")
    interpreter.chmod(0o700)
    options = ("--output-reproducible", "--short-PURLs", "--spec-version", "1.6")
    bill: Bill = json.loads(_run(sys.executable, "-m", "cyclonedx_py", "environment", *options, str(interpreter)))
    return bill


def _with_purl(component: Bill) -> Bill:
    """Give our own packages, which are on no index, a URL that nobody can take for one of an index."""
    name = component["name"]
    if name not in _OWN_PACKAGES:
        return component
    own = {member: value for member, value in component.items() if member != "externalReferences"}
    return {**own, "type": _OWN_PACKAGES[name], "purl": f"pkg:generic/{name}@{component['version']}"}


def _interpreter(version: str) -> Bill:
    return {
        "type": "platform",
        "bom-ref": f"cpython=={version}",
        "name": "cpython",
        "version": version,
        "licenses": [{"license": {"id": "Python-2.0"}}],
        "purl": f"pkg:generic/python@{version}",
    }


def _main_component(image: str) -> Bill:
    """Describe the image itself by its id and its labels."""
    found = json.loads(_docker("image", "inspect", image))[0]
    labels: Mapping[str, str] = found["Config"]["Labels"] or {}
    version = labels.get("org.opencontainers.image.version")
    return {
        "type": "container",
        "bom-ref": "image",
        "name": image.rpartition("/")[2].partition(":")[0],
        **({"version": version} if version else {}),
        "properties": [{"name": "heartstream:image:id", "value": found["Id"]}],
    }


def _os_release(root: Path) -> str:
    """Read the distribution's file; the one in /etc is a link to the other in some images."""
    return next((text for name in _OS_RELEASE if (text := _read(root, name))), "")


def _read(root: Path, name: str) -> str:
    file = root / name
    return file.read_text("utf-8") if file.exists() else ""


if __name__ == "__main__":
    main()
