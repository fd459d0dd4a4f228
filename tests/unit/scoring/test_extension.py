"""Whether the native core is used is a setting; an extension that is missing, old or wrong never is."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from schemas.errors import ArtifactError
from schemas.records import Source
from scoring.batches import JsonBatch
from scoring.extension import EXTENSION_VERSION, Columns, UnavailableError, load_extension
from scoring.features import Matrix
from scoring.model_artifact import Artifact
from scoring.scorer import Scorer
from tests.support.models import as_values, random_rows

NAME = "heartstream_native"


class AllInPython:
    """An extension that reads no record, and writes no score."""

    __version__ = EXTENSION_VERSION

    def Decoder(self, *_: object) -> AllInPython:  # noqa: N802  # a class
        return self

    def Encoder(self, *_: object) -> AllInPython:  # noqa: N802  # a class
        return self

    def decode(self, values: list[bytes | None], _matrix: Matrix) -> tuple[list[str | None], list[int]]:
        return [None] * len(values), list(range(len(values)))

    def encode(self, _columns: Columns, _metadata: Callable[[int], tuple[bytes, bytes]]) -> list[bytes]:
        raise ValueError("written by Python")

    def decode_lines(
        self, block: bytes, _matrix: Matrix, _starts: object, _ends: object
    ) -> tuple[int, list[tuple[int, int, int]]]:
        spans = [match.span() for match in re.finditer(rb"[^\n]+", block)]
        return len(spans), [(row, start, end) for row, (start, end) in enumerate(spans)]

    def check(self, matrix: Matrix) -> list[int]:
        return list(range(len(matrix)))

    def encode_lines(self, columns: Columns, metadata: Callable[[int], tuple[bytes, bytes]]) -> bytes:
        return b"".join(score + b"\n" for score in self.encode(columns, metadata))


class WritesOtherBytes(AllInPython):
    def encode(self, columns: Columns, _metadata: Callable[[int], tuple[bytes, bytes]]) -> list[bytes]:
        return [b"{}"] * len(columns.patient_ids)


class ReadsOtherNumbers(AllInPython):
    def decode(self, values: list[bytes | None], matrix: Matrix) -> tuple[list[str | None], list[int]]:
        matrix[:] = 1.0
        return [f"p-{row}" for row in range(len(values))], []


class Old(AllInPython):
    __version__ = "0.0.1"


class OlderBuild:
    """An extension from before it read lines, whose version says nothing of that."""

    __version__ = EXTENSION_VERSION
    Encoder = AllInPython.Encoder

    def Decoder(self, *_: object) -> object:  # noqa: N802  # a class
        return object()


def install(monkeypatch: pytest.MonkeyPatch, extension: Any) -> None:
    monkeypatch.setitem(sys.modules, NAME, extension)


def test_versions_are_the_same() -> None:
    """The crate, the code that loads it, and the package."""
    versions = [tomllib.loads(Path(path).read_text("utf-8")) for path in ("native/Cargo.toml", "pyproject.toml")]
    assert [versions[0]["package"]["version"], versions[1]["project"]["version"]] == [EXTENSION_VERSION] * 2


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (None, "heartstream-native is not installed"),
        (Old(), f"heartstream-native 0.0.1 is installed, not {EXTENSION_VERSION}"),
        (OlderBuild(), "it fails on the reference cases: AttributeError: 'object' object has no attribute 'decode'"),
        (WritesOtherBytes(), "it gives other bytes for the reference cases"),
        (ReadsOtherNumbers(), "it gives other bytes for the reference cases"),
    ],
    ids=["missing", "old", "older build", "wrong bytes", "wrong numbers"],
)
def test_an_unusable_extension_is_not_used(
    monkeypatch: pytest.MonkeyPatch, linear_artifact: Artifact, extension: ModuleType | None, reason: str
) -> None:
    """The scorer says why, scores in Python, and is refused where the native core is required."""
    install(monkeypatch, extension)
    scorer = Scorer(linear_artifact)
    assert (scorer.native_reason, scorer.compiled.native) == (reason, None)
    results = scorer.score(JsonBatch(as_values(random_rows(3))).decode(scorer.compiled))
    assert isinstance(results.scores, list)
    with pytest.raises(ArtifactError, match=f"the native core is required, and cannot be used: {reason}"):
        Scorer(linear_artifact, native="required")


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch, linear_artifact: Artifact) -> None:
    """Then it is not even imported."""
    install(monkeypatch, AllInPython())
    assert Scorer(linear_artifact, native="off").native_reason == "it is turned off"


def test_a_table_with_too_many_fields_is_scored_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension keeps missing fields as bits."""
    install(monkeypatch, AllInPython())
    load_extension("auto", 256)
    with pytest.raises(UnavailableError, match="more than 256 fields"):
        load_extension("auto", 257)


def test_what_the_extension_leaves_is_done_in_python(
    monkeypatch: pytest.MonkeyPatch, linear_artifact: Artifact
) -> None:
    """Records that it does not read, scores that it does not write: the outcomes are the same, in order."""
    values = [*as_values(random_rows(3)), b"{", None, *as_values(random_rows(2, 8))]
    batch = JsonBatch(values, sources=[Source("patients", 0, row) for row in range(len(values))])
    expected = Scorer(linear_artifact, native="off")
    install(monkeypatch, AllInPython())
    found = Scorer(linear_artifact, native="required")
    assert (
        found.score(batch.decode(found.compiled)).outcomes()
        == expected.score(batch.decode(expected.compiled)).outcomes()
    )
