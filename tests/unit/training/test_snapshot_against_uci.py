"""The snapshot against UCI's own files, if they are available."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.dataset import SITES, file_name, published_file, snapshot_rows
from training.data.frames import digest, read_snapshot, read_uci

UCI = Path(__file__).parents[4] / "shared" / "data" / "uci"

pytestmark = pytest.mark.skipif(
    not (UCI / file_name("cleveland")).is_file(),
    reason="UCI's files are not beside the repository (../shared/data/uci)",
)


@pytest.mark.parametrize("site", SITES)
def test_snapshot_equals_uci_value_for_value(site: str) -> None:
    """Cell by cell and in order, with an empty cell for a question mark."""
    lines = (UCI / file_name(site)).read_text("ascii").splitlines()
    theirs = [[None if cell == "?" else float(cell) for cell in line.split(",")] for line in lines]
    ours = [[float(cell) if cell else None for cell in row[1:]] for row in snapshot_rows() if row[0] == site]
    assert ours == theirs


@pytest.mark.parametrize("site", SITES)
def test_published_form_equals_uci_byte_for_byte(site: str) -> None:
    """What is written without a network is what would have been downloaded."""
    assert published_file(site) == (UCI / file_name(site)).read_bytes()


def test_both_sources_give_the_same_digest() -> None:
    """Training on UCI's files and on the snapshot uses the same rows."""
    assert digest(read_uci(UCI)) == digest(read_snapshot())
