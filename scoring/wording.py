"""Texts that explain a score's uncertainty, shared by `explain`, the web page and FHIR.

No text claims more than training measured.
"""

from __future__ import annotations

from typing import Final

from scoring.compiled_table import CompiledTable
from scoring.uncertainty import Uncertainty

INTERVAL: Final = (
    "Were every field measured, and had the model been trained on other patients of the same kind, the risk would lie "
    "inside in 90 of 100 cases."
)
_FEWEST: Final = 20
"""With fewer patients, a share is not meaningful."""


def uncertain(event: str) -> str:
    """Explain a label set of both labels; `event` is the feature table's word for the outcome."""
    return f"Uncertain: the risk fits patients with {event} and patients without."


def single_label(uncertainty: Uncertainty, compiled: CompiledTable, group: int, label: int) -> str:
    """Explain a label set of one label for a patient of this group, and how often it is wrong."""
    event = compiled.table.outcome.event
    other, outcomes = 1 - label, (f"without {event}", f"with {event}")
    patients, held = (int(count) for count in uncertainty.label_coverage[group, other])
    who = f"training patients {outcomes[other]} ({compiled.groups.names[group]})"
    fits = f"The risk fits patients {outcomes[label]}, but that is not certain: "
    if patients < _FEWEST:
        return f"{fits}there were only {patients} {who}, too few to estimate how many of them look the same."
    return f"{fits}up to {patients - held} of {patients} {who} look the same."


def single_labels(uncertainty: Uncertainty, compiled: CompiledTable) -> tuple[tuple[str, str], ...]:
    """Return that text for each group and label."""
    return tuple(
        (single_label(uncertainty, compiled, group, 0), single_label(uncertainty, compiled, group, 1))
        for group in range(len(compiled.groups))
    )
