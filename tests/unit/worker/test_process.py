"""Laws of a worker's end: which cause is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
from mode import Service
from runtime import logs
from runtime.settings import Settings
from schemas.errors import DependencyError
from worker.bootstrap import ScoringApp
from worker.process import run

class Failing(Service):
    async def on_started(self):
        self.add_future(self.fail())
    async def fail(self):
        raise DependencyError("the first cause")
    async def on_stop(self):
        await self.crash(DependencyError("what follows from it"))
        if {cancelled}:
            raise asyncio.CancelledError

class App(ScoringApp):
    listens = True
    async def on_first_start(self): pass
    async def on_start(self):
        await self.add_runtime_dependency(Failing(beacon=self.beacon))
    async def on_started(self): pass
    def on_init_dependencies(self): return ()

def create(settings):
    logs.configure(settings.telemetry)
    return App("test", broker="memory://", web_enabled=False)

run(Settings.from_mapping({{}}), create)
"""


@pytest.mark.parametrize("cancelled", [False, True])
def test_the_first_cause_is_told(cancelled: bool) -> None:  # noqa: FBT001  # a case
    """Also where its way out is cancelled, or more fails on it: once, with code 1, and no traceback after it."""
    program = textwrap.dedent(PROGRAM.format(cancelled=cancelled))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ)
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
    told = [line["exception"]["message"] for line in lines if line["event"] == "process failed"]
    assert (done.returncode, told, "Traceback" in done.stderr) == (1, ["the first cause"], False), done.stderr
