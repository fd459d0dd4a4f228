"""The requests of the tutorial "from a FHIR server" get the answers that it shows."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess

import pytest

from heartstream.demo.processes import Child
from tests.support.code_blocks import ROOT, blocks

SHOWN = list(blocks(ROOT / "docs/tutorials/fhir-server.md"))
STEPS = [(each, after) for each, after in itertools.pairwise(SHOWN) if after.language == "text"]
VARIES = re.compile(r"interval 0\.\d+ to 0\.\d+|\d+ days old")
"""The interval depends on how long the model was trained."""


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("request_", "response"), STEPS, ids=[f"step-{number}" for number in (2, 3, 4)])
def test_the_gateway_answers_as_shown(gateway: Child, request_, response) -> None:
    """The shell commands as they are, but for the gateway's address."""
    script = request_.text.replace("localhost:8000", gateway.url.removeprefix("http://"))
    done = subprocess.run(["/bin/sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert VARIES.sub("", done.stdout) == VARIES.sub("", response.text)
