"""Texts that explain a score's uncertainty, shared by `explain`, the web page and FHIR.

No text claims more than training measured.
"""

from __future__ import annotations

from typing import Final

from scoring.groups import PatientGroups
from scoring.uncertainty import Uncertainty

INTERVAL: Final = (
    "Were every field measured, and had the model been trained on other patients of the same kind, the risk would lie "
    "inside in 90 of 100 cases."
)
UNCERTAIN: Final = "Uncertain: the risk fits patients with disease and patients without."
_FEWEST: Final = 20
"""With fewer patients, a share is not meaningful."""
_OUTCOMES: Final = ("without disease", "with disease")


def single_label(uncertainty: Uncertainty, groups: PatientGroups, group: int, label: int) -> str:
    """Explain a label set of one label for a patient of this group, and how often it is wrong."""
    other = 1 - label
    patients, held = (int(count) for count in uncertainty.label_coverage[group, other])
    who = f"training patients {_OUTCOMES[other]} ({groups.names[group]})"
    fits = f"The risk fits patients {_OUTCOMES[label]}, but that is not certain: "
    if patients < _FEWEST:
        return f"{fits}there were only {patients} {who}, too few to estimate how many of them look the same."
    return f"{fits}up to {patients - held} of {patients} {who} look the same."


def single_labels(uncertainty: Uncertainty, groups: PatientGroups) -> tuple[tuple[str, str], ...]:
    """Return that text for each group and label."""
    return tuple(
        (single_label(uncertainty, groups, group, 0), single_label(uncertainty, groups, group, 1))
        for group in range(len(groups))
    )
