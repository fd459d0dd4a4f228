"""Starts the separate process that opens the imported file, and reads its answers."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from schemas.tables.feature_table import FeatureTable
from scoring.files import read_file
from scoring.isolated_load import last_line, run_isolated
from training.arrays import Matrix, Risks
from training.importing import exchange
from training.importing.exchange import Compiled, Inspected, Refusal, Step

_SECONDS: Final = 600


class Sandbox:
    """A temporary folder, and the processes that work in it."""

    def __init__(self, folder: Path, content: bytes, table: FeatureTable, rows: Matrix, positive: str | None) -> None:
        """Write what the processes need: the content of the file, and the rows (n, fields) to score."""
        self._folder = folder
        (folder / exchange.SOURCE).write_bytes(content)
        (folder / exchange.TABLE).write_bytes(table.as_json())
        (folder / exchange.POSITIVE).write_bytes(msgspec.json.encode(positive))
        np.save(folder / exchange.ROWS, rows)

    def inspect(self) -> Inspected:
        """Open the file and score with it. Blocks for seconds. Raises ArtifactError with the reason of a refusal."""
        found = self._run(Step.INSPECT)
        if not isinstance(found, Inspected):
            raise ArtifactError("the file's code wrote another answer than it should")
        return found

    def compile(self) -> Compiled:
        """Compile it. Blocks for seconds. Raises ArtifactError with the reason why it cannot be compiled."""
        found = self._run(Step.COMPILE)
        if not isinstance(found, Compiled):
            raise ArtifactError("the file's code wrote another answer than it should")
        return found

    @property
    def risks(self) -> tuple[Risks, Risks]:
        """scikit-learn's risks of the reference cases (1024,), and of the rows (n,)."""
        return np.load(self._folder / exchange.CASE_RISKS), np.load(self._folder / exchange.ROW_RISKS)

    def content(self, name: str) -> bytes | None:
        """Return a file that a process wrote, None if it did not."""
        path = self._folder / name
        return read_file(path, path.stat().st_size) if path.exists() else None

    def _run(self, step: Step) -> Inspected | Compiled:
        answer = self._folder / exchange.ANSWER
        answer.unlink(missing_ok=True)
        with TemporaryFile() as output, TemporaryFile() as errors:
            arguments = (str(self._folder), step.value)
            try:
                code = run_isolated("training.importing.isolated", arguments, _SECONDS, output, errors)
            except subprocess.TimeoutExpired as error:
                raise ArtifactError(f"the process that opened it did not end in {_SECONDS} seconds") from error
            last = last_line(errors)
        try:
            found = msgspec.json.decode(read_file(answer), type=Inspected | Compiled | Refusal)
        except (OSError, msgspec.MsgspecError) as error:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}: {last}"
            raise ArtifactError(f"the process that opened it {how}") from error
        if isinstance(found, Refusal):
            raise ArtifactError(found.reason)
        return found
