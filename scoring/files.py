"""Files of a model directory, which anybody may have written: reading one neither hangs nor grows without bound.

Symbolic links are followed, for Kubernetes mounts every file of a volume as one: what a file holds decides, not where
it is.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_SMALL_BYTES: Final = 16 << 20


class WrongSizeError(OSError):
    """A file has not as many bytes as it should have."""


def read_file(path: Path, size: int | None = None) -> bytes:
    """Return what a regular file holds: one of exactly `size` bytes, or of at most 16 MiB where none is given.

    Raises OSError, at once also for a pipe or a device, whose reading would never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if size is None and found.st_size > _SMALL_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if size is not None and found.st_size != size:
            raise WrongSizeError(errno.EINVAL, f"has {found.st_size} bytes, expected {size}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(found.st_size)
    finally:
        os.close(descriptor)
