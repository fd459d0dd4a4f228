"""Exit codes, after sysexits.h, and how errors become them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from heartstream.terminal.printable import printable
from schemas.errors import ArtifactError, DataError, DependencyError, HeartstreamError, SettingsError

FAILED = 1
BAD_USAGE = 2
"""The argument parser exits with it."""
BAD_DATA = BAD_MODEL = 65
UNAVAILABLE = 69
BAD_SETTINGS = 78
INTERRUPTED = 130
BROKEN_PIPE = 141

_CODES: dict[type[HeartstreamError], int] = {
    ArtifactError: BAD_MODEL,
    DataError: BAD_DATA,
    DependencyError: UNAVAILABLE,
    SettingsError: BAD_SETTINGS,
}


@contextmanager
def errors_to_exit_codes() -> Iterator[None]:
    """Turn errors into an exit code and one line on standard error, without a stack trace.

    Handles this package's errors, OSError, Ctrl-C, and a closed pipe, as `head` leaves it.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\nheartstream: interrupted\n")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _discard_output()
        raise SystemExit(BROKEN_PIPE) from None
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Rich exits with 1
            raise SystemExit(BROKEN_PIPE) from None
        raise
    except OSError as error:
        _discard_output()
        place = "" if error.filename is None else f"{error.filename}: "
        reason = error.strerror or str(error) or type(error).__name__
        sys.stderr.write(f"heartstream: {printable(f'{place}{reason}')}\n")
        raise SystemExit(UNAVAILABLE) from error
    except HeartstreamError as error:
        sys.stderr.write(f"heartstream: {printable(str(error))}\n")
        code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), FAILED)
        raise SystemExit(code) from error


def _discard_output() -> None:
    """Drop what standard output did not take: Python flushes it once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
