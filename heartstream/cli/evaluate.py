"""`heartstream evaluate`: evaluate a saved model on labelled patients."""

from __future__ import annotations

from pathlib import Path

from heartstream.cli.options import DEFAULT_TEXT_OPTIONS, CodingName, LabelledOptions
from heartstream.files.notes import print_notes
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes


def evaluate(  # a command's options
    model: Path,
    data: Path,
    /,
    *,
    name: str | None = None,
    json: Path | None = None,
    coding: CodingName | None = None,
    options: LabelledOptions = DEFAULT_TEXT_OPTIONS,
) -> None:
    """Evaluate a model directory on labelled patients, with 95% intervals, by group and by missing fields.

    DATA is a CSV with a header: the fields of the model's feature table and the outcome (for the built-in table `num`,
    or `target` with 0 and 1), optionally `site`; other columns are ignored; empty, ?, NA and the table's missing codes
    mean "not measured". Or it is a file in UCI's published format. It is refused, with every
    reason, if it has invalid values, shows another coding than the one named, or has an inverted target or many
    repeated rows.

    Example: heartstream evaluate model processed.va.data --json va.json

    Example: heartstream evaluate model old.csv --encoding cp1252 --na-values=-99,unknown

    Exit codes: 0 evaluated; 65 data or model refused; 69 data not readable, or results not writable; 78 the extra
    train is not installed.

    Args:
        model: The model directory.
        data: The labelled patients.
        name: One of its models; by default the best one.
        json: Write all results to this file.
        coding: The coding of fields and outcome, if it is not the table's own; docs/formats.md lists the codings.
        options: How to read the file, as for heartstream score.
    """
    with errors_to_exit_codes():
        with train_extra():
            from heartstream.reports.evaluation import print_evaluation, write  # noqa: PLC0415  # --help should not wait for pandas
            from scoring.compiled_table import CompiledTable  # noqa: PLC0415  # the same
            from scoring.model_artifact import load  # noqa: PLC0415  # the same
            from training.data.labelled import read_labelled  # noqa: PLC0415  # the same
            from training.evaluation.external_validation import validate_externally  # noqa: PLC0415  # the same
        patients = read_labelled(data, CompiledTable(load(model, name).table), coding, options)
        print_notes(data, patients.notes)
        result = validate_externally(model, name, patients)
        if json is not None:
            write(result, json)
        print_evaluation(result)
