"""What a command waits for."""

from __future__ import annotations

import sys
import threading

import pytest

from runtime.waiting import waiting_for


class Stream:
    """Standard error that lets a test wait until something is written."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal, self.text, self.written = terminal, "", threading.Event()

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        self.written.set()


@pytest.mark.parametrize(
    ("terminal", "own", "expected"),
    [
        (True, True, "\r\x1b[Kheartstream: waiting for a friend (0 s)\r\x1b[K"),
        (True, False, "heartstream: waiting for a friend\n"),
        (False, True, "heartstream: waiting for a friend\n"),
    ],
    ids=["terminal", "live view", "pipe"],
)
def test_a_wait_is_shown(monkeypatch: pytest.MonkeyPatch, expected: str, *, terminal: bool, own: bool) -> None:
    """A terminal counts, and the line is erased in the end; elsewhere, and above a live view, it is one line."""
    stream = Stream(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    if own:
        monkeypatch.setattr(sys, "__stderr__", stream)
    with waiting_for("a friend", silent_seconds=0):
        assert stream.written.wait(60)
    assert stream.text == expected


def test_a_short_wait_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Most brokers answer at once."""
    with waiting_for("a friend", silent_seconds=60):
        pass
    assert capsys.readouterr().err == ""
