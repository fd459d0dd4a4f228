"""`heartstream top`: monitor running workers."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter, validators

from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes

_DEFAULT_URLS: Final = ("http://127.0.0.1:9100",)


def top(
    *,
    url: Annotated[tuple[str, ...], Parameter(negative="", show_default=", ".join)] = _DEFAULT_URLS,
    interval: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 2.0,
    once: Flag = False,
) -> None:
    """Monitor running workers: records per second, lag, latency, dead letters by code, health.

    Reads their telemetry ports, so partitions without a worker are not shown. Refreshes a terminal until Ctrl-C;
    elsewhere prints one line per interval. Shows no patient data.

    Example: heartstream top --url worker-1:9100 --url worker-2:9100

    Exit codes: 0 stopped; 69 no worker answers.

    Args:
        url: A worker's telemetry address (HEARTSTREAM_TELEMETRY__PORT); repeat it for each worker.
        interval: Seconds between readings; rates and latencies are measured over this time.
        once: Show one interval in full, and exit.
    """
    with errors_to_exit_codes():
        from heartstream.monitoring.top.watch import watch  # noqa: PLC0415  # --help should not wait for it

        try:
            watch([_with_scheme(place) for place in url], interval, once=once)
        except KeyboardInterrupt:
            return


def _with_scheme(url: str) -> str:
    """Return the URL without a trailing slash; host and port alone mean HTTP."""
    return (url if url.startswith(("http://", "https://")) else f"http://{url}").rstrip("/")
