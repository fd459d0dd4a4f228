"""Fixtures of several packages' tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heartstream.cli.model import sign
from tests.support.signing_keys import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """The key pair of the model's makers."""
    return Keys(tmp_path, "ours")


@pytest.fixture
def signed(model_dir: Path, tmp_path: Path, keys: Keys) -> Path:
    """A copy of the model directory that they have signed."""
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    sign(folder, key=keys.private)
    return folder
