"""Runs one command and stops it when its parent ends, however that happens. A script: it imports no package.

    python supervisor.py FOLDER COMMAND [ARGUMENT...]

The parent holds the other end of standard input, which closes as soon as the parent ends, even by SIGKILL. The command
then gets SIGTERM, is killed if it does not end, and FOLDER is deleted. The first line on standard output is the
command's process id; the exit code is that of the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

_STOP_SECONDS = 10.0
_POLL_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the command that the arguments name; returns its exit code."""
    folder, *command = sys.argv[1:]
    parent, child_ended = os.getppid(), _wakeup_on_child()
    # A separate session: Ctrl-C goes to the parent, which stops the command when appropriate.
    process = subprocess.Popen(  # noqa: S603  # what the parent asks for
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # there is one thread
        start_new_session=True,
    )
    sys.stdout.write(f"{process.pid}\n")
    sys.stdout.flush()
    while process.poll() is None:
        readable, _, _ = select.select([sys.stdin, child_ended], [], [], _POLL_SECONDS)
        # A forked child of the parent may keep the pipe open, so the parent's id is checked as well.
        if sys.stdin in readable or os.getppid() != parent:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)
    return process.returncode


def _wakeup_on_child() -> int:
    """Return a descriptor that can be read once a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    return reader


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    process.kill()
    process.wait()


def _die_with_parent() -> None:
    """Have the kernel kill the command if this supervisor is killed; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
