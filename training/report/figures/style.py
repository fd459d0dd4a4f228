"""The style of all figures, and reproducible output: the same figure gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from training.arrays import Matrix
from training.estimates import Estimate

HEALTHY: Final = "#0072B2"
ILL: Final = "#D55E00"
GREY: Final = "#6b6b6b"
PALETTE: Final = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, safe for colour blindness."""
SEVERITY: Final = ("#0072B2", "#F7D08A", "#EFA94A", "#D9722E", "#9E3A12")
_RULES: Final[dict[Any, Any]] = {
    "svg.hashsalt": "heartstream",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's style and a backend without display."""
    with mpl.rc_context({**_RULES, "backend": "agg"}):
        yield


def with_error_bars(estimates: Iterable[Estimate]) -> tuple[Matrix, Matrix]:
    """Return values (n,) and the distances to their limits (2, n), as `errorbar` takes them."""
    found = np.array([[each.value, each.low, each.high] for each in estimates])
    return found[:, 0], np.abs(found[:, 1:] - found[:, :1]).T


def short(text: str) -> str:
    """Return the meaning of a code, shortened for an axis."""
    return text.replace("probable or definite left ventricular hypertrophy (Estes)", "LV hypertrophy")


def as_svg(figure: Figure) -> bytes:
    """Return a figure as SVG, without date and version."""
    target = BytesIO()
    with mpl.rc_context(_RULES):
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return target.getvalue()


def as_png(figure: Figure) -> bytes:
    """Return a figure as PNG, without version."""
    target = BytesIO()
    with mpl.rc_context(_RULES):
        figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()
