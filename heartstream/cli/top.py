"""`heartstream top`: watch running workers."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter, validators

from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes

_HERE: Final = ("http://127.0.0.1:9100",)


def top(
    *,
    url: Annotated[tuple[str, ...], Parameter(negative="", show_default=", ".join)] = _HERE,
    interval: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 2.0,
    once: Flag = False,
) -> None:
    """Show what running workers do: records per second, lag, latency, dead letters by code, health.

    Reads their telemetry ports; partitions that no worker owns are not seen. On a terminal a picture that is redrawn
    until Ctrl-C; elsewhere a line each time. Shows no patient's data.

    Example: heartstream top --url worker-1:9100 --url worker-2:9100

    Exit codes: 0 stopped; 69 no worker answers.

    Args:
        url: Where a worker tells its metrics and health (HEARTSTREAM_TELEMETRY__PORT); once for each worker.
        interval: Seconds between two readings; rates and latencies are those of this time.
        once: Show one interval, all of it, and exit.
    """
    with errors_to_exit_codes():
        from heartstream.monitoring.top.watch import watch  # noqa: PLC0415  # --help should not wait for it

        try:
            watch([_with_scheme(place) for place in url], interval, once=once)
        except KeyboardInterrupt:
            return


def _with_scheme(url: str) -> str:
    """Return the URL without a slash at its end; a plain host and port is taken for HTTP."""
    return (url if url.startswith(("http://", "https://")) else f"http://{url}").rstrip("/")
