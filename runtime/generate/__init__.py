"""Generated documentation: docs/settings.md and docs/telemetry.md."""
