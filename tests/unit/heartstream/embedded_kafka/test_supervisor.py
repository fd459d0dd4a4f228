"""The supervisor of the embedded broker waits without using the CPU."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from heartstream.embedded_kafka.supervisor import wait, wakeup_on_child


def test_a_suspended_command_is_no_reason_to_wake_up_twice() -> None:
    """Suspending the command signals SIGCHLD, as its end does; it is read once, and the next wait sleeps."""
    before = signal.getsignal(signal.SIGCHLD)
    parent_pipe, writer = os.pipe()
    child_changed = wakeup_on_child()
    try:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as command:
            command.send_signal(signal.SIGSTOP)
            signalled = select.select([child_changed], [], [], 30)[0]
            parent_ended = wait(parent_pipe, child_changed, 30)
            left = select.select([child_changed], [], [], 0)[0]
            command.kill()
        assert (signalled, parent_ended, left) == ([child_changed], False, [])
        os.close(writer)
        assert wait(parent_pipe, child_changed, 30)
    finally:
        os.close(signal.set_wakeup_fd(-1))
        signal.signal(signal.SIGCHLD, before)
        os.close(child_changed)
        os.close(parent_pipe)
