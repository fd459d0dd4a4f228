"""`heartstream train`: make a model directory from the public data, or from a user's own in its form."""

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
    from training.pipeline import Progress, TrainingReport


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

    Writes the model directory with its report, and prints how the models did. The same data, options and library
    versions give the same bytes. The old model directory is replaced when the new one is complete.

    Example: heartstream train --output model --no-tracking

    Exit codes: 0 trained; 65 data that must not be trained on, or a result too good to be true; 69 data that cannot be
    read, or a run that MLflow did not record (the model is written then); 78 bad settings; 130 interrupted (what was
    there stays).

    Args:
        output: The model directory.
        data_dir: Folder with UCI's files, as `heartstream data fetch` writes them; the snapshot if it is left out. The
            patients of processed.cleveland.data train the models, those of the other files test them. It takes 25
            patients of either outcome at least; a field that nobody measured carries no weight.
        seed: Seed of the folds and of the forest.
        threshold: Risk at and above which a score's label is 1.
        tracking: Record the run in MLflow.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI goes before it.
        model_version: Version that the model carries; heartstream's own if it is left out.
        quick: Half a minute instead of two: fewer repeats and samples, so rougher intervals; no other hospitals, tuning
            or stability in the report. The risks are the same.
    """
    with errors_to_exit_codes():
        with train_extra():
            from training.pipeline import TrainingRequest  # noqa: PLC0415  # --help should not wait for pandas
            from training.pipeline import train as run  # noqa: PLC0415  # the same
            from training.tracking.mlflow_run import track  # noqa: PLC0415  # the same
            from training.tracking.mlflow_store import MlflowStore  # noqa: PLC0415  # as below
        if tracking:
            MlflowStore.at(mlflow_dir)  # minutes before it is needed
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


def _print_report(report: TrainingReport) -> None:
    """Print what was found: framed tables on a terminal, plain aligned text elsewhere."""
    data = report.manifest.data
    left_out = f" {report.repeated} repeated row(s) left out." if report.repeated else ""
    print_line(f"{data.name}: {data.rows} patients, {data.positives} with disease.{left_out}\n")
    for title, headings, rows in tables(report):
        print_line(title)
        print_table(headings, rows)
    print_line(f"Best model: {report.choice.best}: {report.choice.reason}.")
    print_line(
        f"Model directory: {report.folder} (version {report.manifest.model_version}), described in model-card.md"
    )


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """Draw the steps on a terminal; elsewhere, write a line when one begins."""
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
    """Writes each step once, as it begins."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, step: str, done: int, steps: int) -> None:
        if step != self._last:
            self._last = step
            sys.stderr.write(f"train: {step} ({done} of {steps})\n")
            sys.stderr.flush()


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    """Show on a terminal that something is under way."""
    from rich.console import Console  # noqa: PLC0415  # train extra only

    console = Console(stderr=True)
    with console.status(text):
        yield
