"""Loads a model in MLflow from the wheel beside this module, which is copied into each model.

It imports nothing of heartstream, which need not be installed where a model is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def _load_pyfunc(path: str, model_config: Mapping[str, str] | None = None) -> Any:
    """Load and verify a model directory; `model_config` may have the model's `name`."""
    (wheel,) = Path(__file__).parent.glob("heartstream_model-*.whl")
    # A pure-Python wheel can be imported without installation.
    sys.path.insert(0, str(wheel))
    try:
        return import_module("heartstream_model.scoring.pyfunc")._load_pyfunc(path, model_config)  # noqa: SLF001  # MLflow's name
    finally:
        sys.path.remove(str(wheel))
