"""Commands of the command line, called in this process."""

from __future__ import annotations

from typing import Any

import pytest


def refused(
    capsys: pytest.CaptureFixture[str], command: Any, *arguments: object, code: int = 65, **options: object
) -> str:
    """Return the error output of a command that exits with this code."""
    with pytest.raises(SystemExit) as caught:
        command(*arguments, **options)
    assert caught.value.code == code
    return capsys.readouterr().err
