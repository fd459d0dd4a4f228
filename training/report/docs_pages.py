"""Pages and pictures of the docs: what is in the data, and the model card.

`python -m training.report.docs_pages MODEL` writes them from the shipped data and the model directory of a run that
was not quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd

from schemas.features import FEATURE_NAMES, FEATURES
from scoring.model_artifact import CARD_DATA_FILE, REPORT_FILE
from training.data.exploration import (
    NAMED,
    SITE_NAMES,
    cramers_v,
    missing_shares,
    outside_support,
    rank_correlations,
    stability_index,
    table_one,
)
from training.data.frames import TRAINING_SITE, digest, read_snapshot, site_rows, target
from training.evaluation.results import Report
from training.report.figures.data import DATA_FIGURES
from training.report.figures.model import MODEL_FIGURES
from training.report.figures.style import as_svg, style
from training.report.markdown import picture, table
from training.report.model_card import Card, as_markdown

DOCS: Final = Path(__file__).parents[2] / "docs"
DATA_PAGE: Final = "data.md"
_PICTURES: Final = "pictures"


def data_page(frame: pd.DataFrame) -> str:
    """Describe the data of all four hospitals."""
    return "\n".join([*_what(frame), *_gaps(frame), *_signals(frame), *_shift(frame)])


def _what(frame: pd.DataFrame) -> Iterator[str]:
    ours = site_rows(frame, TRAINING_SITE)
    duplicates = int(frame.duplicated(["site", *FEATURE_NAMES, "num"]).sum())
    yield (
        "# The data\n\nUCI Heart Disease (CC BY 4.0, doi:10.24432/C52P4X): patients of four hospitals who were "
        "referred for coronary angiography in the 1980s. This page and its pictures are made by `python -m "
        "training.report.docs_pages`; the same is to be followed step by step in "
        "[training/eda.ipynb](../training/eda.ipynb).\n"
    )
    yield (
        f"{len(frame)} patients, {int(target(frame).sum())} with disease; {duplicates} rows stand twice. Cleveland's "
        f"{len(ours)} rows, which train the models, have SHA-256 `{digest(ours)}`.\n"
    )
    yield _figure("outcomes", "Patients by hospital and severity")
    sites = {SITE_NAMES[site]: (frame["site"] == site).to_numpy() for site in SITE_NAMES}
    yield "## Patients by hospital\n\nShares are of the patients who were measured, - where those are fewer than 20.\n"
    yield table(["", *sites], table_one(frame, FEATURE_NAMES, sites))
    labels = target(ours)
    yield "## Cleveland's patients by outcome\n"
    groups = {"no disease": labels == 0, "disease": labels == 1}
    yield table(["", *groups], table_one(ours, FEATURE_NAMES, groups))


def _gaps(frame: pd.DataFrame) -> Iterator[str]:
    shares = missing_shares(frame)
    worst = ", ".join(f"{name} {shares.drop(TRAINING_SITE)[name].min():.0%}" for name in ("ca", "thal", "slope"))
    yield (
        "## What is missing\n\nCodes for “not measured” count as missing. Of the other hospitals, the one "
        f"that measured most still lacks: {worst}. A model that puts “normal” in their place gives risks that are "
        "too low ([model card](model-card.md), where fields are missing).\n"
    )
    yield _figure("missingness", "Share of patients without a value, by hospital and field")


def _signals(frame: pd.DataFrame) -> Iterator[str]:
    ours = site_rows(frame, TRAINING_SITE)
    disease = rank_correlations(ours)["disease"]
    named = ", ".join(f"{name} {disease[name]:+.2f}" for name in NAMED)
    strongest = ", ".join(f"{name} {value:.2f}" for name, value in list(cramers_v(ours).items())[:3])
    yield (
        "## What goes with disease\n\nRank correlation with disease (codes by their numbers, which for cp, restecg and "
        f"thal is no true order): {named}. Strongest codes (Cramér's V): "
        f"{strongest}.\n"
    )
    yield _figure("correlations", "Rank correlations, and Cramér's V with disease")
    yield _figure("distributions", "Numbers by outcome, and cholesterol with its zeros")
    yield _figure("prevalences", "Share with disease by code")
    yield _figure("heart-rate", "Highest heart rate against age")
    told = "; ".join(f"{name} {value:g} ({count} patient)" for name, value, count in outside_support(ours))
    yield f"## What stands out\n\nBeyond three interquartile ranges in Cleveland: {told}. Nothing is left out for it.\n"
    yield _figure("outliers", "Numbers by hospital")


def _shift(frame: pd.DataFrame) -> Iterator[str]:
    yield (
        "## Other hospitals are other populations\n\nPopulation stability index against Cleveland, over patients who "
        "have the field, - where fewer than 20 do; above 0.25 is the usual alarm.\n"
    )
    sites = [site for site in SITE_NAMES if site != TRAINING_SITE]
    found = {site: stability_index(frame, site) for site in sites}
    yield table(
        ["field", *(SITE_NAMES[site] for site in sites)],
        (
            [
                feature.name,
                *(f"{found[site][feature.name]:.2f}" if feature.name in found[site] else "-" for site in sites),
            ]
            for feature in FEATURES
        ),
    )
    yield _figure("site-shift", "Population stability index by hospital and field")


def _figure(name: str, says: str) -> str:
    return picture(f"{_PICTURES}/data/{name}.svg", says)


def write(model: Path, docs: Path) -> Iterator[Path]:
    """Write all pages and pictures; yields each file. Raises SystemExit for a quick run."""
    report = msgspec.json.decode((model / REPORT_FILE).read_bytes(), type=Report)
    card = msgspec.json.decode((model / CARD_DATA_FILE).read_bytes(), type=Card)
    if report.deep is None:
        raise SystemExit(f"{model} comes from a quick run: train without --quick")
    frame = read_snapshot()
    yield _written(docs / DATA_PAGE, data_page(frame).encode())
    yield _written(docs / "model-card.md", as_markdown(card, report, f"{_PICTURES}/model").encode())
    yield _written(docs / CARD_DATA_FILE, card.as_json())
    with style():
        for name, draw in DATA_FIGURES.items():
            yield _written(docs / _PICTURES / "data" / f"{name}.svg", as_svg(draw(frame)))
        for name, draw_model in MODEL_FIGURES.items():
            yield _written(docs / _PICTURES / "model" / f"{name}.svg", as_svg(draw_model(report, report.deep)))


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def main(arguments: Sequence[str]) -> None:
    """Write the pages, and say which."""
    parser = argparse.ArgumentParser(
        prog="python -m training.report.docs_pages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: heartstream train --output model && python -m training.report.docs_pages model",
    )
    parser.add_argument("model", type=Path, help="model directory of a run that was not quick")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where to (default: docs)")
    asked = parser.parse_args(arguments)
    for path in write(asked.model, asked.docs):
        sys.stdout.write(f"wrote {path.relative_to(asked.docs)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
