"""Training runs that test processes beside each other share."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from runtime.files import locked
from training.pipeline import TrainingRequest, TrainingResult, train


def trained_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, request_in: Callable[[Path], TrainingRequest]
) -> Path:
    """Return a folder of this name with what the request writes there, and its report; the first process trains."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "report").exists():
            (folder / "report").write_bytes(pickle.dumps(train(request_in(folder))))
    return folder


def report_of(folder: Path) -> TrainingResult:
    """Return the report of the run in a folder."""
    return cast("TrainingResult", pickle.loads((folder / "report").read_bytes()))  # noqa: S301  # written above
