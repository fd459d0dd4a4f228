"""Builds the wheel with the code of a model in MLflow.

The packages `schemas` and `scoring` could collide with those of a user's project. So the wheel vendors them in the
package `heartstream_model`. All other dependencies are in the model's requirements.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import schemas
import scoring

PACKAGE: Final = "heartstream_model"
LOADER: Final = Path(__file__).with_name("mlflow_loader.py")
_VENDORED: Final = (schemas, scoring)
_IMPORT: Final = re.compile(rb"^(\s*from )(schemas|scoring)(?=[. ])", re.MULTILINE)
_WHEEL: Final = b"Wheel-Version: 1.0\nGenerator: heartstream\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_code(folder: Path, requirements: Sequence[str]) -> list[Path]:
    """Write the wheel and the loader module with which MLflow loads a model; return both paths."""
    wheel = folder / f"{PACKAGE}-{version('heartstream')}-py3-none-any.whl"
    record = f"{_dist_info()}/RECORD"
    lines = []
    with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
        for name, content in _files(requirements):
            # A ZipInfo without a date: the same code gives the same bytes.
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}\n")
        archive.writestr(ZipInfo(record), "".join([*lines, f"{record},,\n"]), ZIP_DEFLATED)
    loader = folder / f"{PACKAGE}_loader.py"
    loader.write_bytes(LOADER.read_bytes())
    return [wheel, loader]


def _dist_info() -> str:
    return f"{PACKAGE}-{version('heartstream')}.dist-info"


def _files(requirements: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the wheel's files, except its RECORD."""
    yield f"{PACKAGE}/__init__.py", b'"""The scoring core of heartstream, as its models in MLflow carry it."""\n'
    for package in _VENDORED:
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            name = f"{PACKAGE}/{package.__name__}/{path.relative_to(folder).as_posix()}"
            yield name, _IMPORT.sub(rb"\1" + PACKAGE.encode() + rb".\2", path.read_bytes())
    metadata = ["Metadata-Version: 2.1", f"Name: {PACKAGE}", f"Version: {version('heartstream')}"]
    metadata += ["Requires-Python: >=3.11", *(f"Requires-Dist: {each}" for each in requirements)]
    yield f"{_dist_info()}/METADATA", "".join(f"{line}\n" for line in metadata).encode()
    yield f"{_dist_info()}/WHEEL", _WHEEL
