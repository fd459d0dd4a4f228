"""docs/commands.md is what the commands' help says."""

from __future__ import annotations

import pytest

from heartstream.cli.generate import PAGE, Command, commands, render, subject_of


def test_the_page_is_current() -> None:
    """It is what `python -m heartstream.cli.generate` writes now."""
    assert PAGE.read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_every_command_is_described(command: Command) -> None:
    """Each has a summary, an example of its own, exit codes that begin with success, and a page about its subject."""
    assert command.summary.endswith(".")
    assert [each for each in command.examples if f"heartstream {command.name}" not in each] == []
    assert command.examples
    assert command.exit_codes.startswith("0 ")
    assert (PAGE.parent / subject_of(command.name)).is_file()
