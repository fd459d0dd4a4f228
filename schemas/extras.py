"""How to install an extra, for error messages. The package is on no index: docs/installing.md."""

from __future__ import annotations


def install_command(extra: str) -> str:
    """Return what to run where the libraries of an extra are missing."""
    return f"in a checkout of heartstream, pip install -e '.[{extra}]' (docs/installing.md)"
