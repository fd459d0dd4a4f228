"""The output of `heartstream model import`, beside the evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.importing.importer import ImportedModel


def import_summary(imported: ImportedModel, folder: Path) -> Iterator[str]:
    """Yield lines on the imported model and its engine."""
    found = imported.evaluation
    yield f"{folder} is {found.model} {found.model_version} ({found.model_digest})"
    yield "engine: onnx; scikit-learn is not needed to serve it" if imported.reason is None else "engine: sklearn"


def import_warnings(imported: ImportedModel) -> Iterator[str]:
    """Yield what limits the use of the model, or of its evaluation."""
    if imported.reason is not None:
        yield (
            f"scikit-learn itself serves the model, because {imported.reason}; install the extra sklearn where "
            "it is served, and sign it (heartstream model sign): check, promote and reloads open no unsigned pickle"
        )
    if imported.unused:
        yield (
            f"no risk depends on {', '.join(imported.unused)}: they have no weight, or the pipeline expects their "
            "values in another form than numbers, or texts for codes that are texts"
        )
    if imported.evaluation.trained_on is None:
        yield "whether these patients trained the model is not known; --held-out states that none of them did"
