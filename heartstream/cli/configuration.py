"""Settings of the commands."""

from __future__ import annotations

import os
import sys

from runtime.settings import Settings, describe


def load_settings(*, show_config: bool = False) -> Settings:
    """Read the settings from the environment; with `show_config`, print them and exit. Raises SettingsError."""
    settings = Settings.from_mapping(os.environ)
    if show_config:
        sys.stdout.write("\n".join(describe(settings)) + "\n")
        raise SystemExit(0)
    return settings
