"""Read files of an untrusted model directory without blocking, and with a size limit.

Symbolic links are followed, because Kubernetes mounts every file of a volume as one: the content is verified, not its
location.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_SMALL_BYTES: Final = 16 << 20


class WrongSizeError(OSError):
    """A file does not have the expected size."""


def read_file(path: Path, size: int | None = None) -> bytes:
    """Return the content of a regular file of exactly `size` bytes, or of at most 16 MiB without a size.

    Raises OSError, immediately also for a pipe or a device, which could block forever.
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
