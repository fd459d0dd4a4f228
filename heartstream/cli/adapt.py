"""`heartstream adapt`: a hospital's own model, from a model and the hospital's own patients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from heartstream.cli.options import DEFAULT_TEXT_OPTIONS, CodingName, Flag, LabelledOptions
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import BAD_DATA, FAILED, errors_to_exit_codes
from schemas.errors import SettingsError

UpTo = Literal["intercept", "slope", "refit"]


def adapt(  # noqa: PLR0913  # an option each
    model: Path,
    /,
    *,
    data: Path | None = None,
    outcomes: Flag = False,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("adapted"),
    up_to: UpTo | None = None,
    name: str | None = None,
    public_key: Path | None = None,
    seed: int = 42,
    quick: Flag = False,
    json: Flag = False,
    outcome: str | None = None,
    site: str | None = None,
    coding: CodingName | None = None,
    options: LabelledOptions = DEFAULT_TEXT_OPTIONS,
) -> None:
    """Adapt a linear model to a hospital's own patients: keep it, or recalibrate or refit it as far as they support.

    Validates the model on these patients and climbs a ladder: keep, intercept, slope, refit. Slope and refit must
    improve on the cross-validated log loss of every lower rung, beyond chance (docs/adapt.md). The new directory
    documents the change in its card and in adaptation.json, and is signed and promoted like any other. Opens the
    model's pickle, which can run code: give the public key, or trust its author.

    Example: heartstream adapt model --data my-hospital.csv -o adapted

    Example: heartstream adapt model --outcomes --up-to intercept -o adapted

    Exit codes: 0 written; 1 the model is best kept as it is; 65 model or data refused, too few patients, or the model
    is of no use for them; 69 data or topics not readable; 78 invalid settings, or the extra train is not installed.

    Args:
        model: The model directory.
        data: Labelled patients, as for heartstream train: the fields of the model's feature table and the outcome.
        outcomes: Use this model's scores and outcomes on the topics, as heartstream outcomes does; without a refit.
        output: The new model directory.
        up_to: The highest rung to try; by default the highest that the patients suffice for.
        name: One of its models; by default the best one.
        public_key: PEM file; the model must be signed with its private key.
        seed: Seed of the folds and bootstrap samples.
        quick: Evaluate a refit with fewer repeats and samples, so wider error of the intervals; the risks are the same.
        json: Print JSON.
        outcome: The column of the outcome, if it is not that of the table.
        site: The column of the hospital.
        coding: The coding of fields and outcome, if it is not the table's own; docs/formats.md lists the codings.
        options: How to read the file, as for heartstream score.
    """
    with errors_to_exit_codes(), train_extra():
        from heartstream.operations.models.adaptation import LocalFile, adapt_directory  # noqa: PLC0415  # an extra
        from heartstream.reports.adaptation import print_adaptation, render_json  # noqa: PLC0415  # an extra
        from training.adaptation import AdaptationRequest  # noqa: PLC0415  # an extra
        from training.data.labelled import LabelColumns  # noqa: PLC0415  # an extra
        from training.evaluation.adaptation import Rung  # noqa: PLC0415  # an extra

        if (data is None) == (not outcomes):
            raise SettingsError(
                ("give either labelled patients (--data FILE) or --outcomes, to read them from the topics",)
            )
        file = None if data is None else LocalFile(data, LabelColumns(outcome, site), coding, options)
        request = AdaptationRequest(output, None if up_to is None else Rung(up_to), seed, quick)
        artifact, evidence, result = adapt_directory(model, request, name, public_key, file, _print_step)
        if json:
            sys.stdout.write(render_json(artifact.model, evidence, result).decode())
        else:
            print_adaptation(output, artifact.model, evidence, artifact.table.outcome.event, result)
    if result.verified is None:
        raise SystemExit(BAD_DATA if result.ladder.decision is Rung.REFUSE else FAILED)


def _print_step(step: str) -> None:
    sys.stderr.write(f"adapt: {step}\n")
    sys.stderr.flush()
