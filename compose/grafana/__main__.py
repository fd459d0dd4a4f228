"""Write compose/grafana/heartstream.json: `python -m compose.grafana`."""

from __future__ import annotations

import sys

from compose.grafana.dashboard import DASHBOARD, render

if __name__ == "__main__":
    DASHBOARD.write_text(render(), encoding="utf-8")
    sys.stdout.write("wrote compose/grafana/heartstream.json\n")
