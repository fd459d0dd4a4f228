"""`heartstream train`: train models on the public data, or on your own in the same format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heartstream.cli.options import Flag
from heartstream.optional_deps import train_extra
from heartstream.reports.training import tables
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.tables import print_line, print_table

if TYPE_CHECKING:
    from training.pipeline import Progress, TrainingResult


def train(  # noqa: PLR0913  # an option each
    *,
    output: Path = Path("model"),
    data_dir: Path | None = None,
    seed: int = 42,
    threshold: float = 0.5,
    tracking: bool = True,
    mlflow_dir: Path = Path("mlflow"),
    model_version: str | None = None,
    quick: Flag = False,
) -> None:
    """Train logistic regression, its sub-models and a random forest on patients of one hospital, and evaluate them.

    Writes the model directory with its report, and prints the evaluation. The same data, options and library versions
    give the same bytes. An existing model directory is replaced when the new one is complete.

    Example: heartstream train --output model --no-tracking

    Exit codes: 0 trained; 65 data refused, or an implausibly good result; 69 data not readable, or MLflow failed to
    record the run (the model is written); 78 invalid settings; 130 interrupted (existing files are kept).

    Args:
        output: The model directory.
        data_dir: Folder with UCI's files, as `heartstream data fetch` writes them; by default the snapshot. The
            patients of processed.cleveland.data train the models, those of the other files test them. At least 25
            patients of either outcome are needed; a field that was never measured gets no weight.
        seed: Seed of the folds and of the forest.
        threshold: Risks at or above it get the label 1.
        tracking: Record the run in MLflow.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI takes precedence.
        model_version: The version of the model; by default that of heartstream.
        quick: Train in half a minute, not two: fewer repeats and samples, so wider error of the intervals; no external
            validation, tuning or stability in the report. The risks are the same.
    """
    with errors_to_exit_codes():
        with train_extra():
            from training.pipeline import TrainingRequest  # noqa: PLC0415  # --help should not wait for pandas
            from training.pipeline import train as run  # noqa: PLC0415  # the same
            from training.tracking.mlflow_run import track  # noqa: PLC0415  # the same
            from training.tracking.mlflow_store import MlflowStore  # noqa: PLC0415  # as below
        if tracking:
            MlflowStore.at(mlflow_dir)  # fail now, not after minutes of training
        request = TrainingRequest(output, data_dir, seed, threshold, model_version, quick)
        with _progress_bar() as progress:
            report = run(request, progress)
        _print_report(report)
        if tracking:
            with _spinner("recording the run in MLflow"):
                tracked = track(report, mlflow_dir)
            print_line(f"MLflow run: {tracked.run_id} in {tracked.store}")
            role = "champion" if tracked.registered.is_champion else "not champion"
            print_line(
                f"Registered as heartstream version {tracked.registered.version}, {role}: {tracked.registered.reason}"
            )


def _print_report(report: TrainingResult) -> None:
    """Print the evaluation as tables."""
    data = report.manifest.data
    left_out = f" {report.duplicates} repeated row(s) left out." if report.duplicates else ""
    print_line(f"{data.name}: {data.rows} patients, {data.positives} with disease.{left_out}\n")
    for title, headings, rows in tables(report):
        print_line(title)
        print_table(headings, rows)
    print_line(f"Best model: {report.selection.best}: {report.selection.reason}.")
    print_line(
        f"Model directory: {report.folder} (version {report.manifest.model_version}), described in model-card.md"
    )


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """Show the steps as a progress bar on a terminal; elsewhere, print a line per step."""
    from rich.console import Console  # noqa: PLC0415  # train extra only
    from rich.progress import Progress as Bar  # noqa: PLC0415  # train extra only

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def progress(step: str, done: int, steps: int) -> None:
            bar.update(task, description=step, completed=done, total=steps)

        yield progress


class _Lines:
    """Prints each step once, when it begins."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, step: str, done: int, steps: int) -> None:
        if step != self._last:
            self._last = step
            sys.stderr.write(f"train: {step} ({done} of {steps})\n")
            sys.stderr.flush()


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    """Show a spinner on a terminal."""
    from rich.console import Console  # noqa: PLC0415  # train extra only

    console = Console(stderr=True)
    with console.status(text):
        yield
