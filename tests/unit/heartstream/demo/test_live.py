"""The demo's live view."""

from __future__ import annotations

import pytest
from rich.text import Text

from heartstream.demo import live
from heartstream.demo.reconciliation import Reconciliation


def test_seconds_are_counted_until_there_is_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the last line: a broker that is pulled, started or awaited is never waited for in silence."""
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    view = live.LiveView()
    shown = view._live.get_renderable
    now[0] = 107.0
    assert shown() == Text("7 s", style="dim")
    view.print_line("broker: ready")
    now[0] = 110.0
    assert shown() == Text("3 s", style="dim")
    view.update(Reconciliation())
    assert not isinstance(shown(), Text)
