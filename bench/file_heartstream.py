"""heartstream as a contender of `bench.file_peers`: MODEL DETAILS NATIVE PROCESSES SOURCE OUTPUT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import cast

from bench.file_job import report
from bench.file_peers import LINEAR
from bench.files import DETAILS, score
from runtime.gc_tuning import tune_gc
from scoring.extension import NativeMode
from scoring.scorer import Scorer

if __name__ == "__main__":
    folder, details, native, processes, source, output = sys.argv[1:]
    scorer = Scorer.from_directory(Path(folder), LINEAR, DETAILS[details], native=cast("NativeMode", native))
    tune_gc()
    report(partial(score, scorer=scorer, processes=int(processes)), Path(source), Path(output))
