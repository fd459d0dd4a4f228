"""Generates training/eda.ipynb from the cells below: executed, and reproducible from run to run.

`python -m training.report.notebook` writes it. It uses the same functions as the docs and the model card.
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

from schemas.tables.builtin import UCI_HEART
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
            "# UCI Heart Disease: exploratory data analysis\n\nPatients of four hospitals, referred for angiography "
            "in the 1980s. Disease is `num` > 0: at least one vessel narrowed by 50%."
        ),
        _SHOW,
    ),
    (
        (
            "## Is it the published data?\n\nPatients, disease and duplicate rows by hospital, and the digest of the "
            "training rows. Altered copies circulate, with other codes, an inverted target or duplicate rows."
        ),
        (
            "counted = patients.assign(disease=target(patients)).groupby('site', sort=False)\n"
            "rows = [[SITE_NAMES[site], str(len(of)), str(of['disease'].sum()), str(of.duplicated().sum())]\n"
            "        for site, of in counted]\n"
            "display(Markdown(table(['hospital', 'patients', 'with disease', 'duplicates'], rows)))\n"
            "digest(cleveland)"
        ),
    ),
    ("## Outcome by hospital", "show('outcomes')"),
    (
        (
            "## Missing values\n\nOnly Cleveland measured `ca`, and few other patients have `thal`. Imputing “normal” "
            "understates the risk: models must score without these fields."
        ),
        "show('missingness')\nzero_cholesterol()",
    ),
    ("## Numeric fields by outcome", "show('distributions')"),
    ("## Prevalence by code", "show('prevalences')"),
    (
        (
            "## Associations\n\nChest pain type, maximum heart rate and ST depression are each associated with "
            "disease; `oldpeak` and `slope` are largely redundant."
        ),
        (
            "show('correlations')\n"
            "rank_correlations(cleveland).loc['disease', list(HIGHLIGHTED_FIELDS)].round(2).to_dict()"
        ),
    ),
    ("## Heart rate and age", "show('heart-rate')"),
    ("## Outliers", "show('outliers')\nlist(outliers(cleveland))"),
    ("## Differences between hospitals", "show('site-shift')"),
    (
        "## Patients by outcome",
        (
            "labels = target(cleveland)\n"
            "groups = {'no disease': labels == 0, 'disease': labels == 1}\n"
            "display(Markdown(table(['', *groups], table_one(cleveland, UCI_HEART.names, groups))))"
        ),
    ),
)
"""Pairs of text and code cells."""


def new() -> Any:
    """Return the notebook before execution."""
    cells = []
    for number, (text, code) in enumerate(CELLS):
        cells += [new_markdown_cell(text, id=f"text-{number}"), new_code_cell(code, id=f"code-{number}")]  # type: ignore[no-untyped-call]  # nbformat is untyped
    return new_notebook(cells=cells, metadata={"kernelspec": _KERNEL, "language_info": {"name": "python"}})  # type: ignore[no-untyped-call]  # nbformat is untyped


def executed() -> str:
    """Execute the notebook and return it as text, without times, versions and paths."""
    notebook = new()
    # The kernel uses no network, not even the loopback interface.
    config = Config({"KernelManager": {"transport": "ipc"}})
    client = NotebookClient(
        notebook, timeout=_TIMEOUT_SECONDS, kernel_name="python3", record_timing=False, config=config
    )
    client.execute()
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]  # nbformat is untyped
    return text + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write the notebook."""
    parser = argparse.ArgumentParser(
        prog="python -m training.report.notebook",
        description=__doc__,
        epilog="example: python -m training.report.notebook",
    )
    parser.add_argument("--output", type=Path, default=NOTEBOOK, help="output file (default: training/eda.ipynb)")
    asked = parser.parse_args(arguments)
    asked.output.write_text(executed(), encoding="utf-8")
    sys.stdout.write(f"wrote {asked.output.name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
