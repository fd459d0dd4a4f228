"""`heartstream train`: train models on the public data, or on your own in the same format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heartstream.cli.options import DEFAULT_TEXT_OPTIONS, CodingName, Flag, LabelledOptions
from heartstream.optional_deps import train_extra
from heartstream.reports.training import tables
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.tables import print_line, print_table, print_wrapped
from schemas.errors import SettingsError

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
    data: Path | None = None,
    table: Path | None = None,
    outcome: str | None = None,
    site: str | None = None,
    coding: CodingName | None = None,
    options: LabelledOptions = DEFAULT_TEXT_OPTIONS,
) -> None:
    """Train regressions, a random forest and boosted trees, and evaluate them: on UCI's patients or yours.

    Writes the model directory with its report, and prints the evaluation. The same data, options and library versions
    give the same bytes. An existing model directory is replaced when the new one is complete.

    Example: heartstream train --output model --no-tracking

    Example: heartstream train --data own.csv --table own.toml --outcome died --site hospital --no-tracking

    Exit codes: 0 trained; 65 data refused, or an implausibly good result; 69 data not readable, MLflow does not
    answer, or it failed to record the run (the model is written); 78 invalid settings; 130 interrupted (existing files
    are kept).

    Args:
        output: The model directory.
        data_dir: Folder with UCI's files, as `heartstream data fetch` writes them; by default the snapshot. The
            patients of processed.cleveland.data train the models, those of the other files test them. At least 25
            patients of either outcome are needed; a field that was never measured gets no weight.
        seed: Seed of the folds and of the trees.
        threshold: Risks at or above it get the label 1.
        tracking: Record the run in MLflow.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI takes precedence.
        model_version: The version of the model; by default that of heartstream.
        quick: Train in half a minute, not two: fewer repeats and samples, so wider error of the intervals; no external
            validation, tuning or stability in the report. The risks are the same.
        data: A labelled CSV of your own patients, in place of UCI's: the fields of the feature table and the outcome;
            other columns are ignored. All of them train the models.
        table: The feature table of these patients (docs/feature-table.md); by default the built-in one.
        outcome: The column of the outcome, if it is not that of the table.
        site: The column of the hospital: the report then has each hospital tested by models of the others.
        coding: The coding of fields and outcome, if it is not the table's own.
        options: How to read the file, as for heartstream score.
    """
    with errors_to_exit_codes():
        with train_extra():
            from schemas.tables.builtin import UCI_HEART  # noqa: PLC0415  # the same
            from schemas.tables.toml_file import read_table_file  # noqa: PLC0415  # the same
            from training.data.labelled import LabelColumns  # noqa: PLC0415  # --help should not wait for pandas
            from training.pipeline import OwnPatients, TrainingRequest  # noqa: PLC0415  # the same
            from training.pipeline import train as run  # noqa: PLC0415  # the same
            from training.tracking.mlflow_run import track  # noqa: PLC0415  # the same
            from training.tracking.mlflow_store import MlflowStore  # noqa: PLC0415  # as below
        if tracking:
            MlflowStore.at(mlflow_dir).check_server()  # fail now, not after minutes of training
        own = None
        if data is not None:
            feature_table = UCI_HEART if table is None else read_table_file(table)
            own = OwnPatients(data, feature_table, LabelColumns(outcome, site), coding, options)
        elif (table, outcome, site, coding) != (None,) * 4 or options != DEFAULT_TEXT_OPTIONS:
            raise SettingsError(("--table, --outcome, --site, --coding and reading options need --data FILE",))
        if data is not None and data_dir is not None:
            raise SettingsError(("--data and --data-dir exclude each other",))
        request = TrainingRequest(output, data_dir, seed, threshold, model_version, quick, own)
        with _progress_bar() as progress:
            report = run(request, progress)
        _print_report(report)
        if tracking:
            with _spinner("recording the run in MLflow"):
                tracked = track(report, mlflow_dir)
            print_wrapped(f"MLflow run: {tracked.run_id} in {tracked.store}")
            role = "champion" if tracked.registered.is_champion else "not champion"
            print_wrapped(
                f"Registered as {tracked.registered.name} version {tracked.registered.version}, {role}: "
                f"{tracked.registered.reason}"
            )


def _print_report(report: TrainingResult) -> None:
    """Print the evaluation as tables."""
    data = report.manifest.data
    left_out = f" {report.duplicates} repeated row(s) left out." if report.duplicates else ""
    print_wrapped(f"{data.name}: {data.rows} patients, {data.positives} with {report.evaluation.event}.{left_out}")
    print_line("")
    for title, headings, rows in tables(report):
        print_line(title)
        print_table(headings, rows)
    print_wrapped(f"Best model: {report.selection.best}: {report.selection.reason}.")
    print_wrapped(
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
