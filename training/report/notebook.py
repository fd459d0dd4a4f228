"""training/eda.ipynb: made of the cells below, executed, and stripped of what would change from run to run.

`python -m training.report.notebook` writes it. The functions behind it are those of the docs and of the model card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

NOTEBOOK: Final = Path(__file__).parents[1] / "eda.ipynb"
_TIMEOUT_SECONDS: Final = 300
_KERNEL: Final = {"name": "python3", "display_name": "Python 3", "language": "python"}

_SHOW: Final = """\
from IPython.display import Image, Markdown, display

from schemas.features import FEATURE_NAMES
from training.data.exploration import *
from training.data.frames import digest, read_snapshot, site_rows, target
from training.report.figures.data import DATA_FIGURES
from training.report.figures.style import as_png, style
from training.report.markdown import table


def show(name):
    with style():
        display(Image(as_png(DATA_FIGURES[name](patients))))


patients = read_snapshot()
cleveland = site_rows(patients, "cleveland")"""

CELLS: Final[Sequence[tuple[str, str]]] = (
    (
        (
            "# UCI Heart Disease, before a model is trained\n\nPatients of four hospitals, referred for angiography "
            "in the 1980s. Disease is `num` > 0: at least one vessel narrowed by half."
        ),
        _SHOW,
    ),
    (
        (
            "## Is it the published data?\n\nPatients, disease and repeated rows by hospital, and the digest of "
            "the training rows. Copies go round with other codes, an inverted target and repeated rows."
        ),
        (
            "counted = patients.assign(disease=target(patients)).groupby('site', sort=False)\n"
            "rows = [[SITE_NAMES[site], str(len(of)), str(of['disease'].sum()), str(of.duplicated().sum())]\n"
            "        for site, of in counted]\n"
            "display(Markdown(table(['hospital', 'patients', 'with disease', 'repeated'], rows)))\n"
            "digest(cleveland)"
        ),
    ),
    ("## Outcome by hospital", "show('outcomes')"),
    (
        (
            "## What is missing\n\n`ca` is Cleveland's alone, `thal` nearly so. “Normal” in their place understates "
            "risk: models must answer without them."
        ),
        "show('missingness')\nzero_cholesterol()",
    ),
    ("## Numbers by outcome", "show('distributions')"),
    ("## Share with disease by code", "show('prevalences')"),
    (
        (
            "## What goes with what\n\nChest pain type, the highest heart rate and ST depression go with disease "
            "one by one; `oldpeak` and `slope` tell much the same."
        ),
        "show('correlations')\nrank_correlations(cleveland).loc['disease', list(NAMED)].round(2).to_dict()",
    ),
    ("## Heart rate and age", "show('heart-rate')"),
    ("## What stands out", "show('outliers')\nlist(outside_support(cleveland))"),
    ("## Are the hospitals alike?", "show('site-shift')"),
    (
        "## Patients by outcome",
        (
            "labels = target(cleveland)\n"
            "groups = {'no disease': labels == 0, 'disease': labels == 1}\n"
            "display(Markdown(table(['', *groups], table_one(cleveland, FEATURE_NAMES, groups))))"
        ),
    ),
)
"""Text and code, in turn."""


def new() -> Any:
    """Return the notebook, not executed."""
    cells = []
    for number, (text, code) in enumerate(CELLS):
        cells += [new_markdown_cell(text, id=f"text-{number}"), new_code_cell(code, id=f"code-{number}")]  # type: ignore[no-untyped-call]  # nbformat left its types out
    return new_notebook(cells=cells, metadata={"kernelspec": _KERNEL, "language_info": {"name": "python"}})  # type: ignore[no-untyped-call]  # nbformat left its types out


def executed() -> str:
    """Execute the notebook and return it as text: no times, versions or paths are left in it."""
    notebook = new()
    # Nothing of it goes over the network, not even to this machine itself.
    config = Config({"KernelManager": {"transport": "ipc"}})
    client = NotebookClient(
        notebook, timeout=_TIMEOUT_SECONDS, kernel_name="python3", record_timing=False, config=config
    )
    client.execute()
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]  # nbformat left its types out
    return text + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write the notebook."""
    parser = argparse.ArgumentParser(
        prog="python -m training.report.notebook",
        description=__doc__,
        epilog="example: python -m training.report.notebook",
    )
    parser.add_argument("--output", type=Path, default=NOTEBOOK, help="where to (default: training/eda.ipynb)")
    asked = parser.parse_args(arguments)
    asked.output.write_text(executed(), encoding="utf-8")
    sys.stdout.write(f"wrote {asked.output.name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
