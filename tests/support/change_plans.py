"""A change-control plan, and models with other figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from heartstream.operations.models.change_plan import PLAN_FILE, ChangePlan, read_plan
from scoring.model_artifact import REPORT_FILE
from tests.support.model_files import replace_file

PLAN: Final = """
signed = false

[retraining]
same_algorithm = true
min_patients = 300
min_events = 100
max_roc_auc_loss = 0.02
max_brier_increase = 0.01
calibration_slope = [0.8, 1.25]

[recalibration]
min_patients = 100
min_events = 20
max_shift = 2.0
max_brier_increase = 0.0
"""
BEST: Final = "pattern_submodels"
Figures = dict[str, dict[str, float]]


def plan_of(folder: Path, text: str = PLAN) -> ChangePlan:
    (folder / PLAN_FILE).write_text(text)
    return cast("ChangePlan", read_plan(folder))


def retrained(folder: Path, target_folder: Path, change: Callable[[Figures], object] = dict.clear) -> Path:
    """Write a copy of a model whose report has other figures."""
    shutil.copytree(folder, target_folder)
    report = json.loads((folder / REPORT_FILE).read_bytes())
    change(report["missing_fields"]["none"][BEST]["figures"])
    replace_file(target_folder, REPORT_FILE, json.dumps(report).encode())
    return target_folder


def worse(name: str, by: float) -> Callable[[Figures], object]:
    """Return a change of one figure."""
    return lambda figures: figures[name].update(value=figures[name]["value"] + by)
