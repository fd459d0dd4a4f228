"""Write docs/settings.md and docs/telemetry.md: `python -m runtime.generate`."""

from __future__ import annotations

import sys

from runtime.generate import settings, telemetry


def main() -> None:
    """Write both pages."""
    for page, text in ((settings.PAGE, settings.render()), (telemetry.PAGE, telemetry.render())):
        page.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote docs/{page.name}\n")


if __name__ == "__main__":
    main()
