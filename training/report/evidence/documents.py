"""The files of a model directory that evidence is taken from, and their values by path.

A path such as `report.data.rows` names a file and a value in it. `@best` in a path stands for the name of the
best model, which is served unless HEARTSTREAM_MODEL__NAME names another one: "the served model" here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.errors import ArtifactError
from schemas.tables import builtin
from scoring.model_artifact import CARD_DATA_FILE, MANIFEST_FILE, REPORT_FILE, TABLE_FILE, load
from training.candidates import CANDIDATES
from training.evaluation.results import EvaluationReport
from training.report.evidence.statements import read_statements
from training.report.model_card import Card

FILES: Final = {"manifest": MANIFEST_FILE, "table": TABLE_FILE, "report": REPORT_FILE, "card": CARD_DATA_FILE}
UCI_STATEMENTS: Final = Path(builtin.__file__).with_name("uci_heart_statements.toml")
"""What is known of the patients of UCI Heart Disease, beside their feature table."""
BEST: Final = "@best"
RECALIBRATED: Final = "The model was recalibrated after its evaluation: all results are of the model before it."
_TRAINED: Final = frozenset(candidate.name for candidate in CANDIDATES)
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})


class Documents(msgspec.Struct, frozen=True):
    """The parsed files of a model directory, by their names in paths; `digest` is the model's.

    `statements` are what a person says, by key (`training.report.evidence.statements`); `source` names their file.
    """

    digest: str
    contents: dict[str, dict[str, Any]]
    statements: dict[str, str] = {}
    source: str = ""

    @property
    def best(self) -> str:
        """The name of the served model."""
        return str(self.contents["manifest"]["best"])

    @property
    def name(self) -> str:
        """The served model: name, version and digest."""
        return f"{self.best} {self.contents['manifest']['model_version']} ({self.digest})"

    @property
    def is_trained(self) -> bool:
        """Whether `heartstream train` made the served model: one of its candidates."""
        return self.best in _TRAINED

    @property
    def is_selected(self) -> bool:
        """Whether the served model is the one that training selected; a recalibrated one may be another."""
        return bool(self.find("report.selection.best") == self.best)

    @property
    def warning(self) -> str:
        """What a reader of any result must know: that it is from before a recalibration; "" if none is."""
        adaptations = self.find("card.adaptations")
        return RECALIBRATED if adaptations and adaptations[-1]["line"] else ""

    def find(self, path: str) -> Any:
        """Return the value at a path; None if there is none, or an empty one."""
        return self.inside(self.contents, path)

    def inside(self, value: Any, path: str) -> Any:
        """Return what is at a path inside a value."""
        for part in path.split("."):
            key = self.best if part == BEST else part
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return None if value in _NOTHING else value

    def place(self, path: str) -> str:
        """Return where the value of a path stands: the file, and the path in it."""
        file, _, inner = path.replace(BEST, self.best).partition(".")
        return f"{FILES[file]}: {inner}"


def read_documents(folder: Path, statements: Path | None = None, public_key: Path | None = None) -> Documents:
    """Read and verify a model directory, and a file of statements, which replace those about the built-in table.

    Raises ArtifactError, also if there is no report or card, DataError for statements, and OSError.
    """
    artifact = load(folder, None, None if public_key is None else public_key.read_bytes())
    card = artifact.cards.get("application/json")
    if artifact.report is None or card is None:
        raise ArtifactError(f"{folder} has no {REPORT_FILE} or {CARD_DATA_FILE}: train the model again")
    try:
        msgspec.json.decode(artifact.report, type=EvaluationReport)
        msgspec.json.decode(card, type=Card)
    except msgspec.MsgspecError as error:
        raise ArtifactError(f"the report or card of {folder} is of another version: train the model again") from error
    report, table = json.loads(artifact.report), json.loads(artifact.table.as_json())
    if builtin.is_builtin(artifact.table):
        if report["population"]["hospital"]:
            statements = statements or UCI_STATEMENTS
        else:
            # The built-in table is about UCI's patients, and these are others.
            del table["population"]
    stated, source = ({}, "") if statements is None else read_statements(statements)
    return Documents(
        artifact.model.digest,
        {
            "manifest": msgspec.to_builtins(artifact.manifest),
            "table": table,
            "report": report,
            "card": json.loads(card),
        },
        stated,
        source,
    )
