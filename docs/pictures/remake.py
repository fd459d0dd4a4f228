"""Makes the pictures, generated pages and printed outputs of the documentation again, of one model.

    PYTHONPATH=. python docs/pictures/remake.py                  # trains in full first
    PYTHONPATH=. python docs/pictures/remake.py --model model --only outputs,page

In a page, `<!-- output: COMMAND -->` stands above a block that is what the command prints. A step that needs what is
not installed is skipped, and said to be. Exit codes: 0 all text is as before; 1 a page has changed (git diff shows
where), or a step has failed; 3 nothing has changed, and a step was skipped.

Figures of speed are not made again: `python -m bench.publish` writes them. docs/pictures/make_terminals.py makes the
pictures of images and of a cluster, which have to be there first.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
CHANGED, SKIPPED = 1, 3
_OUTPUT: Final = re.compile(r"(<!-- output: (?P<command>.+) -->\n```text\n)(?P<text>.*?)(?=```)", re.DOTALL)
STEPS: Final[Mapping[str, tuple[Sequence[str], Sequence[str]]]] = {
    "architecture": ((), ("docs/pictures/make_architecture.py",)),
    "flow": ((), ("docs/pictures/make_flow.py",)),
    "demo": ((), ("docs/pictures/make_demo.py", "MODEL")),
    "page": (("chromium",), ("docs/pictures/make_page.py", "MODEL")),
    "card": (("chromium",), ("docs/pictures/make_card.py", "MODEL")),
    "reports": (("chromium",), ("docs/pictures/make_reports.py", "MODEL")),
    "launch": (("chromium", "java", "mvn"), ("docs/pictures/make_smart.py", "MODEL")),
    "mlflow": (("chromium",), ("docs/pictures/make_mlflow.py", "MLFLOW")),
    "terminals": ((), ("docs/pictures/make_terminals.py", "training", "telemetry", "--model", "MODEL")),
    "dashboard": (("docker", "prometheus"), ("docs/pictures/make_dashboard.py", "MODEL")),
}
"""Each step's needed commands, and its script with arguments."""
_OPTIONS: Final = {"pages": "--tehran", "own": "--flchain"}
"""Steps that need the patients of a cohort, and the option that names them."""


def trained(folder: Path) -> tuple[Path, Path]:
    """Train in full; returns the model directory and MLflow's."""
    model, mlflow = folder / "model", folder / "mlflow"
    run("-m", "heartstream", "train", "--output", str(model), "--mlflow-dir", str(mlflow))
    return model, mlflow


def run(*arguments: str) -> None:
    """Run a script or module of this project. Raises CalledProcessError."""
    sys.stderr.write(f"== {' '.join(arguments)}\n")
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment(), check=True)  # noqa: S603  # our own


def environment(model: Path | None = None) -> dict[str, str]:
    """Return the environment of a step."""
    found = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return found if model is None else found | {"HEARTSTREAM_MODEL__PATH": str(model)}


def renew_outputs(model: Path) -> None:
    """Replace each marked block by what its command prints."""

    def block(found: re.Match[str]) -> str:
        command = found["command"].replace("MODEL", str(model))
        sys.stderr.write(f"== {command}\n")
        words = [sys.executable, *(("-m",) if command.startswith("heartstream ") else ()), *command.split()]
        done = subprocess.run(words, cwd=ROOT, env=environment(model), stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  # our own
        if not done.stdout:
            raise SystemExit(f"{command} printed nothing, and ended with code {done.returncode}")
        return found[1] + done.stdout.rstrip() + "\n"

    for page in PAGES:
        page.write_text(_OUTPUT.sub(block, page.read_text(encoding="utf-8")), encoding="utf-8")


def renew_pages(model: Path, folder: Path, tehran: Path) -> None:
    """Generate docs/model-card.md, docs/data.md and their figures."""
    results = folder / "tehran.json"
    run("-m", "heartstream", "evaluate", str(model), str(tehran), "--json", str(results))
    run("-m", "training.report.docs_pages", str(model), "--external", str(results))


def renew_own_page(folder: Path, flchain: Path) -> None:
    """Take the picture of docs/own-data.md: the page of the free light chain cohort."""
    table, model = "tests/tables/flchain.toml", str(folder / "flchain")
    options = ("--table", table, "--output", model, "--quick", "--no-tracking")
    run("-m", "heartstream", "train", "--data", str(flchain), *options)
    run("docs/pictures/make_page.py", model)


def remake(names: Sequence[str], folder: Path, given: Path | None, cohorts: Mapping[str, Path | None]) -> list[str]:
    """Do the steps, those of a cohort with its patients; return what was skipped, and why."""
    model, mlflow = (given.resolve(), None) if given else trained(folder)
    skipped = []
    for name in names:
        needs, arguments = STEPS.get(name, ((), ()))
        missing = [each for each in needs if shutil.which(each) is None]
        if "MLFLOW" in arguments and mlflow is None:
            missing.append("a training of its own, without --model")
        cohort = cohorts.get(name)
        if name in cohorts and cohort is None:
            missing.append(_OPTIONS[name])
        if missing:
            skipped.append(f"{name}: needs {', '.join(missing)}")
        elif name == "pages" and cohort:
            renew_pages(model, folder, cohort)
        elif name == "own" and cohort:
            renew_own_page(folder, cohort)
        elif name == "outputs":
            renew_outputs(model)
        else:
            run(*(each.replace("MODEL", str(model)).replace("MLFLOW", str(mlflow)) for each in arguments))
    return skipped


def main() -> int:
    """Do the steps; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a directory of a full training (default: trains one)")
    parser.add_argument("--tehran", metavar="CSV", type=Path, help="the patients of docs/adapt.md, for the step pages")
    parser.add_argument("--flchain", metavar="CSV", type=Path, help="those of docs/own-data.md, for the step own")
    everything = (*_OPTIONS, "outputs", *STEPS)
    parser.add_argument("--only", metavar="STEPS", help=f"with commas, of: {', '.join(everything)}")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else everything
    if unknown := set(names) - set(everything):
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        skipped = remake(names, Path(folder), asked.model, {"pages": asked.tehran, "own": asked.flchain})
    sys.stdout.write("".join(f"skipped {each}\n" for each in skipped))
    compare = ["git", "diff", "--stat", "--exit-code", "--", "*.md"]
    changed = subprocess.run(compare, cwd=ROOT, check=False).returncode  # noqa: S603  # git
    return CHANGED if changed else SKIPPED if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
