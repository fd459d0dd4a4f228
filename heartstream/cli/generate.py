"""Write docs/commands.md from the commands' own help: `python -m heartstream.cli.generate`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cyclopts import App

from heartstream.cli import app

_ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = _ROOT / "docs" / "commands.md"

SUBJECTS: Final = {
    "data": "data.md",
    "table": "feature-table.md",
    "train": "models.md",
    "evaluate": "models.md",
    "adapt": "adapt.md",
    "model": "models.md",
    "model import": "import.md",
    "model evidence": "evidence.md",
    "explain": "models.md",
    "score": "files.md",
    "demo": "embedded-kafka.md",
    "worker": "settings.md",
    "shadow": "challenger.md",
    "compare": "challenger.md",
    "gateway": "http.md",
    "fhir": "fhir.md",
    "api-key": "http.md",
    "topics": "deployment.md",
    "drift": "drift.md",
    "outcomes": "drift.md",
    "top": "telemetry.md",
    "dlq": "dead-letters.md",
    "verify": "replay.md",
    "replay": "replay.md",
}
"""The page about what a command is for, by its name or that of its group."""

_HEAD: Final = """# Commands

`./run COMMAND` runs a command from a checkout, without installing anything first: it makes `.venv` and installs the
pinned dependencies there. With the package [installed](installing.md), or after
`. .venv/bin/activate`, the same commands are `heartstream COMMAND`. `--help` shows all options of a command.

Commands that read or write topics use the broker of `HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS` (`localhost:9092` by
default; `docker run -d -p 9092:9092 apache/kafka:4.1.0` starts one there). To try them, keep `./run demo --records 0`
running in another terminal and first paste the `export` line that it prints, because the demo uses topics of its own.
All [settings](settings.md) are environment variables. Logs are JSON lines, and contain no [patient data](privacy.md).
"""

_CODES: Final = """Exit codes follow `sysexits.h`: 65 is bad data or a refused model, 69 something that is not
available, 78 invalid settings.
"""


class Command(NamedTuple):
    """What the help of a command says."""

    name: str
    summary: str
    examples: tuple[str, ...]
    exit_codes: str


def commands(group: App = app, before: str = "") -> Iterator[Command]:
    """Yield each command that can be run, in the order of `heartstream --help`."""
    for word in group:
        if word.startswith("-"):
            continue
        name, found = f"{before}{word}", group[word]
        if found.default_command is None:
            yield from commands(found, f"{name} ")
            continue
        summary, *others = (" ".join(each.split()) for each in inspect.cleandoc(found.help).split("\n\n"))
        labelled = [each.partition(": ") for each in others]
        examples = tuple(text for label, _, text in labelled if label == "Example")
        (exit_codes,) = (text for label, _, text in labelled if label == "Exit codes")
        yield Command(name, summary, examples, exit_codes)


def subject_of(name: str) -> str:
    """Return the page of a command, or else that of its group."""
    return SUBJECTS.get(name) or SUBJECTS[name.split(maxsplit=1)[0]]


def render() -> str:
    """Return the page."""
    rows = ["| command | what it does |", "|---|---|"]
    sections = []
    for each in commands():
        rows.append(f"| [`{each.name}`](#{each.name.replace(' ', '-')}) | {each.summary.removesuffix('.')} |")
        examples = "\n".join(each.examples)
        sections.append(
            f"### {each.name}\n\n{each.summary} See [{subject_of(each.name)}]({subject_of(each.name)}).\n\n"
            f"```sh\n{examples}\n```\n\nExit codes: {each.exit_codes}\n"
        )
    own = _of_the_checkout()
    return "\n".join((_HEAD, *rows, "", own, "## Examples and exit codes\n", _CODES, *sections))


def _of_the_checkout() -> str:
    """Return the help of `./run`, which has the commands for developers."""
    script = (_ROOT / "run").read_text(encoding="utf-8")
    text = script.split("<<'TEXT'\n", 1)[1].split("\nTEXT\n", 1)[0]
    return f"## Only in a checkout\n\n```text\n{text}\n```\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote docs/{PAGE.name}\n")


if __name__ == "__main__":
    main()
