"""What the command's exit codes mean (after sysexits.h), and how errors become them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from heartstream.printable import printable
from schemas.errors import ArtifactError, DataError, DependencyError, HeartstreamError, SettingsError

FAILED = 1
BAD_USAGE = 2
"""As the argument parser gives it."""
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
    """Tell one of our own errors in plain words on standard error, and exit with the code of its kind."""
    try:
        yield
    except HeartstreamError as error:
        sys.stderr.write(f"heartstream: {printable(str(error))}\n")
        code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), FAILED)
        raise SystemExit(code) from error


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End without a trace of the stack where the reader of our output, as `head`, has enough of it."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
