"""The error of a command that no broker answers."""

from __future__ import annotations

from schemas.errors import DependencyError


def no_broker(servers: str, problem: str = "") -> DependencyError:
    """Return the error, with the client's last problem and the setting that names the broker."""
    reason = problem.rpartition("/bootstrap: ")[2].partition(" (after ")[0]
    because = f" ({reason})" if reason else ""
    return DependencyError(
        f"no broker answers at {servers}{because}: start it, or name another in HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
    )
