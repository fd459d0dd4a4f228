"""`heartstream model import`: make a model directory of a fitted scikit-learn pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from heartstream.cli.options import DEFAULT_TEXT_OPTIONS, CodingName, Flag, LabelledOptions
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_wrapped


def import_(  # noqa: PLR0913  # an option each
    source: str,
    /,
    *,
    data: Path,
    table: Path | None = None,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("imported"),
    trusted_source: str | None = None,
    positive: str | None = None,
    held_out: Flag = False,
    threshold: float = 0.5,
    name: str | None = None,
    model_version: str | None = None,
    outcome: str | None = None,
    coding: CodingName | None = None,
    mlflow_dir: Path = Path("mlflow"),
    options: LabelledOptions = DEFAULT_TEXT_OPTIONS,
) -> None:
    """Make a model directory of a fitted scikit-learn classifier or pipeline with predict_proba.

    The file is opened in a separate process with limits on memory and time, and only if you state who made it: opening
    it runs code of its author. Its columns must be the fields of the feature table; missing values are NaN. It is
    compiled to ONNX if that gives the same risks; otherwise scikit-learn itself serves it, which has to be installed
    where it is served. Its scores have no intervals, label sets and reasons.

    Example: heartstream model import fitted.joblib --data labelled.csv --trusted-source "A. Smith, ward 3"

    Example: heartstream model import models:/risk@champion --table own.toml --data labelled.csv --trusted-source us

    Exit codes: 0 imported; 65 model or data refused; 69 files or MLflow not readable; 78 invalid settings, or the
    extra train is not installed.

    Args:
        source: A joblib file, a pickle or a file of skops; or models:/NAME@ALIAS or models:/NAME/VERSION in MLflow.
        data: Labelled patients, as for heartstream train --data: they evaluate the model.
        table: The feature table of these patients; by default the built-in one.
        output: The model directory; an existing one is replaced.
        trusted_source: Who made the file, for the model card.
        positive: The class whose probability is the risk, if the classes are not 0 and 1.
        held_out: State that none of these patients trained the model.
        threshold: Risks at or above it get the label 1.
        name: The name of the model; by default that of the file.
        model_version: The version of the model; by default the first digits of the file's SHA-256.
        outcome: The column of the outcome, if it is not that of the table.
        coding: The coding of fields and outcome, if it is not the table's own.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI takes precedence.
        options: How to read the labelled patients, as for heartstream score.
    """
    with errors_to_exit_codes():
        with train_extra():
            from heartstream.files.notes import print_notes  # noqa: PLC0415  # --help should not wait for pandas
            from heartstream.reports.evaluation import print_evaluation  # noqa: PLC0415  # the same
            from heartstream.reports.importing import import_summary, import_warnings  # noqa: PLC0415  # the same
            from schemas.tables.builtin import UCI_HEART  # noqa: PLC0415  # the same
            from schemas.tables.toml_file import read_table_file  # noqa: PLC0415  # the same
            from training.data.labelled import LabelColumns  # noqa: PLC0415  # the same
            from training.importing.importer import ImportRequest, import_model  # noqa: PLC0415  # the same
        feature_table = UCI_HEART if table is None else read_table_file(table)
        request = ImportRequest(
            source=source,
            output=output,
            data=data,
            table=feature_table,
            trusted_source=trusted_source,
            positive=positive,
            held_out=held_out,
            threshold=threshold,
            name=name,
            model_version=model_version,
            columns=LabelColumns(outcome),
            coding=coding,
            options=options,
            mlflow_dir=mlflow_dir,
        )
        imported = import_model(request, _print_step)
        print_notes(data, imported.notes)
        print_evaluation(imported.evaluation)
        for line in import_summary(imported, output):
            print_wrapped(printable(line), "  ")
        for warning in import_warnings(imported):
            sys.stderr.write(f"heartstream: {printable(warning)}\n")


def _print_step(step: str) -> None:
    sys.stderr.write(f"import: {step}\n")
    sys.stderr.flush()
