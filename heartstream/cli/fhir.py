"""`heartstream fhir`: try FHIR Bundles out, before they are sent to a gateway."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import BAD_DATA, errors_to_exit_codes

app = App(name="fhir", help="Try FHIR Bundles out, before they are sent to a gateway.")


@app.command(name="try")
def try_(
    folder: Path,
    /,
    *,
    model: Path | None = None,
    name: str | None = None,
    lookback_days: Annotated[int | None, Parameter(validator=Number(gte=0, lte=36_500))] = None,
    json: Flag = False,
) -> None:
    """Read each Bundle of a folder as the gateway does, and print what was read, passed over and missing, and the risk.

    The files are those that end in .json; files that end in .xml are reported as what a gateway refuses. Nothing is
    sent or logged. Patient ids and values are not printed, but names of files, dates and risks are. See docs/fhir.md.

    Example: heartstream fhir try schemas/examples/fhir/v1/hospitals --model model

    Exit codes: 0 all Bundles scored; 65 some refused, model refused, or no Bundle found; 69 a file cannot be read; 78
    invalid settings.

    Args:
        folder: The folder of Bundles, one a file.
        model: The model directory, in place of HEARTSTREAM_MODEL__PATH.
        name: One of its models, in place of HEARTSTREAM_MODEL__NAME.
        lookback_days: The age in days above which Observations are not used, in place of
            HEARTSTREAM_FHIR__LOOKBACK_DAYS; 0 means any age.
        json: Print one JSON object per line, with all notes.
    """
    with errors_to_exit_codes():
        import msgspec  # noqa: PLC0415  # --help should not wait for numpy

        from heartstream.fhir.render import render_text  # noqa: PLC0415  # the same
        from heartstream.fhir.trial import BundleTrial, bundle_files  # noqa: PLC0415  # the same
        from heartstream.terminal.progress import ProgressCounter  # noqa: PLC0415  # the same
        from scoring.scorer import Scorer  # noqa: PLC0415  # the same

        settings = load_settings()
        fhir = settings.fhir
        if lookback_days is not None:
            fhir = msgspec.structs.replace(fhir, lookback_days=lookback_days)
        chosen = name or settings.model.name or None
        scorer = Scorer.from_directory(model or Path(settings.model.path), chosen, settings.score, settings.model.key())
        trial, files = BundleTrial(scorer, fhir, dt.datetime.now(dt.UTC).date()), bundle_files(folder)
        refused = 0
        with ProgressCounter(len(files), "Bundles") as progress:
            for path in files:
                found = trial.of_file(path)
                refused += found.risk is None
                progress.advance()
                progress.clear()
                sys.stdout.write(msgspec.json.encode(found).decode() + "\n" if json else render_text(found))
        sys.stderr.write(f"heartstream: {len(files) - refused} of {len(files)} Bundles scored, {refused} refused\n")
        if refused:
            raise SystemExit(BAD_DATA)
