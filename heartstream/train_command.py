"""`heartstream train`: make a model directory from the public data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heartstream.exit_codes import errors_to_exit_codes
from heartstream.extras import train_extra

if TYPE_CHECKING:
    from training.run import Progress, TrainingReport

_METRICS: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "log_loss": "Log loss",
}
_PIPE_WIDTH: Final = 100


def train(
    *,
    output: Path = Path("model"),
    data_dir: Path | None = None,
    seed: int = 42,
    threshold: float = 0.5,
    tracking: bool = True,
    mlflow_dir: Path = Path("mlflow"),
    model_version: str | None = None,
) -> None:
    """Train logistic regression and random forest on the Cleveland patients, and write the model directory.

    Prints how both did in 5-fold cross-validation. The same data, options and library versions give the same bytes. The
    old model directory is replaced when the new one is complete.

    Example: heartstream train --output model --no-tracking

    Exit codes: 0 trained; 65 a result too good to be true; 69 data that must not be trained on, or a run that MLflow
    did not record (the model is written then); 78 bad settings.

    Args:
        output: The model directory.
        data_dir: Folder with UCI's files, as `heartstream data fetch` writes them; the snapshot if it is left out.
        seed: Seed of the folds and of the forest.
        threshold: Risk at and above which a score's label is 1.
        tracking: Record the run in MLflow.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI goes before it.
        model_version: Version that the model carries; heartstream's own if it is left out.
    """
    with errors_to_exit_codes():
        with train_extra():
            from training.run import TrainingRequest, track  # noqa: PLC0415  # --help should not wait for pandas
            from training.run import train as run  # noqa: PLC0415  # the same
        request = TrainingRequest(output, data_dir, seed, threshold, model_version)
        with _progress_bar() as progress:
            report = run(request, progress)
        _print_report(report)
        if tracking:
            with _spinner("recording the run in MLflow"):
                tracked = track(report, mlflow_dir)
            sys.stdout.write(f"MLflow run: {tracked.run_id} in {tracked.store}\n")


def _print_report(report: TrainingReport) -> None:
    """Print the table of metrics, the choice and the place: framed on a terminal, plain aligned text elsewhere."""
    from rich import box  # noqa: PLC0415  # train extra only
    from rich.console import Console  # noqa: PLC0415  # train extra only
    from rich.table import Table  # noqa: PLC0415  # train extra only

    from training.evaluate import FOLDS  # noqa: PLC0415  # the same

    console = Console()
    framed = console.is_terminal
    if not framed:
        console = Console(width=_PIPE_WIDTH)
    table = Table(box=box.SIMPLE_HEAD if framed else None, pad_edge=framed)
    for heading in ("", *(evaluation.name for evaluation in report.evaluations)):
        table.add_column(heading, justify="right" if heading else "left")
    for row in _rows(report):
        table.add_row(*row)
    data = report.manifest.data
    sys.stdout.write(f"{data.name}: {data.rows} patients, {data.positives} with disease. ")
    sys.stdout.write(f"{FOLDS}-fold cross-validation, mean ± standard deviation over the folds.\n\n")
    sys.stdout.flush()
    console.print(table)
    sys.stdout.write(f"\nBest model: {report.choice.best}, because {report.choice.reason}.\n")
    sys.stdout.write(f"Model directory: {report.folder} (version {report.manifest.model_version})\n")
    sys.stdout.flush()


def _rows(report: TrainingReport) -> Iterator[tuple[str, ...]]:
    for metric, title in _METRICS.items():
        figures = (evaluation.metrics[metric] for evaluation in report.evaluations)
        yield (title, *(f"{figure.mean:.3f} ± {figure.std:.3f}" for figure in figures))
    yield ("Calibration slope", *(f"{evaluation.calibration_slope:.2f}" for evaluation in report.evaluations))


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """Draw the steps on a terminal; draw nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415  # train extra only
    from rich.progress import Progress as Bar  # noqa: PLC0415  # train extra only

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def progress(step: str, done: int, steps: int) -> None:
            bar.update(task, description=step, completed=done, total=steps)

        yield progress


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    """Show on a terminal that something is under way."""
    from rich.console import Console  # noqa: PLC0415  # train extra only

    console = Console(stderr=True)
    with console.status(text):
        yield
