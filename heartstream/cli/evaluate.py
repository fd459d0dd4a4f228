"""`heartstream evaluate`: how a saved model does on labelled patients."""

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
    """Evaluate a model directory on labelled patients, with 95% intervals, by group and by what was missing.

    DATA is a CSV with a header (the 13 UCI names and `num`, or `target` with 0 and 1; `site` if there are several;
    other columns are not read; empty, ?, NA and -9 mean "not measured") or a file as UCI publishes it. It is refused,
    with every reason, if it has illegal values, shows another coding than the one that is named, or has an inverted
    target or many repeated rows.

    Example: heartstream evaluate model processed.va.data --json va.json

    Example: heartstream evaluate model old.csv --encoding cp1252 --na-values "-99,unknown"

    Exit codes: 0 evaluated; 65 the data or the model is refused; 69 the data cannot be read, or the results not
    written; 78 the libraries for training are not installed.

    Args:
        model: The model directory.
        data: The labelled patients.
        name: One of its models; the one that training called best if it is left out.
        json: Write all results here.
        coding: The coding of the patients, codes and outcome, if it is not UCI's: docs/formats.md lists them.
        options: How the file is written, as for heartstream score.
    """
    with errors_to_exit_codes():
        with train_extra():
            from heartstream.reports.evaluation import tell, write  # noqa: PLC0415  # --help should not wait for pandas
            from training.data.labelled import read_labelled  # noqa: PLC0415  # the same
            from training.evaluation.external_validation import evaluate_elsewhere  # noqa: PLC0415  # the same
        patients = read_labelled(data, coding, options)
        print_notes(data, patients.notes)
        found = evaluate_elsewhere(model, name, patients)
        if json is not None:
            write(found, json)
        tell(found)
