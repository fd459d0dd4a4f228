"""`heartstream model evidence`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_table, print_wrapped

StandardName = Literal["tripod-ai", "probast-ai", "chai", "hti-1", "eu-ai-act"]


def evidence(
    folder: Path,
    /,
    *,
    standard: StandardName | None = None,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("evidence"),
    statements: Path | None = None,
    public_key: Path | None = None,
) -> None:
    """Write evidence documents from a model directory: TRIPOD+AI, PROBAST+AI, CHAI, HTI-1, EU AI Act.

    Each answer names the file and field that it is from. What the files do not say is "not known", with who would know
    it; a file of statements answers that (docs/evidence.md). The same model directory gives the same documents, which
    are for a person to judge and complete. They are about the best model of the directory.

    Example: heartstream model evidence model

    Example: heartstream model evidence model --standard tripod-ai --statements statements.toml -o evidence

    Exit codes: 0 written; 65 model or statements refused; 69 a file cannot be read or written.

    Args:
        folder: The model directory; its files are verified first.
        standard: Only this one.
        output: The folder to write to, created if missing; documents in it are replaced.
        statements: TOML file with what only a person can state, texts by key.
        public_key: PEM file; the model must be signed with its private key.
    """
    with errors_to_exit_codes(), train_extra():
        from training.report.evidence.documents import read_documents  # noqa: PLC0415  # an extra
        from training.report.evidence.export import STANDARDS, export  # noqa: PLC0415  # the same

        documents = read_documents(folder, statements, public_key)
        chosen = [STANDARDS[standard]] if standard else STANDARDS.values()
        done = [export(each, documents, output) for each in chosen]
        print_table(
            ("standard", "items", "not known"), ((each.standard, str(each.items), str(each.not_known)) for each in done)
        )
        count = sum(len(each.files) for each in done)
        print_wrapped(printable(f"{documents.name}: {count} files written to {output}"), "  ")
