"""`heartstream gateway`: serve predictions over HTTP until stopped."""

from __future__ import annotations

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes


def gateway(*, show_config: Flag = False) -> None:
    """Serve predictions over HTTP until stopped; `/docs` documents the API.

    On SIGTERM or Ctrl-C, /health/ready fails, requests in progress are finished, and the process exits. Configured by
    environment variables: see docs/settings.md and docs/http.md.

    Example: HEARTSTREAM_GATEWAY__PORT=8000 heartstream gateway

    Exit codes: 0 stopped; 65 model refused; 69 port unavailable; 78 invalid settings.

    Args:
        show_config: Print all settings, with secrets redacted, and exit.
    """
    with errors_to_exit_codes():
        settings = load_settings(show_config=show_config)
        from api.main import run  # noqa: PLC0415  # --help should not wait for aiohttp and numpy

        run(settings)
