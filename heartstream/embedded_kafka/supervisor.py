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
    parent, child_changed = os.getppid(), wakeup_on_child()
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
        # A forked child of the parent may keep the pipe open, so the parent's id is checked as well.
        if wait(sys.stdin.fileno(), child_changed, _POLL_SECONDS) or os.getppid() != parent:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)
    return process.returncode


def wait(parent_pipe: int, child_changed: int, seconds: float) -> bool:
    """Wait for a change of the child, the parent's end, or `seconds`; returns whether the parent has ended."""
    readable, _, _ = select.select([parent_pipe, child_changed], [], [], seconds)
    if child_changed in readable:
        # A command that is suspended or resumed signals as well: an unread byte would turn this into a busy loop.
        os.read(child_changed, 4096)
    return parent_pipe in readable


def wakeup_on_child() -> int:
    """Return a descriptor that becomes readable when a child ends, or is suspended or resumed."""
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
