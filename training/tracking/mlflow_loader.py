"""Copied into each model in MLflow, beside the wheel of its code, and called by MLflow: loads the model from the wheel.

It imports nothing of this distribution, for where a model is loaded there may be none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def _load_pyfunc(path: str, model_config: Mapping[str, str] | None = None) -> Any:
    """Load and prove a model directory; `model_config` may say the model's `name`."""
    (wheel,) = Path(__file__).parent.glob("heartstream_model-*.whl")
    # A wheel of pure Python can be imported as it is.
    sys.path.insert(0, str(wheel))
    try:
        return import_module("heartstream_model.scoring.pyfunc")._load_pyfunc(path, model_config)  # noqa: SLF001  # MLflow's name
    finally:
        sys.path.remove(str(wheel))
