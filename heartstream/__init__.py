"""heartstream in Python: score patient records, and consume the scores and dead letters of a stream.

`__all__` and `heartstream.spark.score` are public: docs/python.md. Everything else, here and in the other packages of
this distribution, is private and may change in any release.

Names are imported on first use: a consumer that decodes scores loads neither NumPy nor an inference engine, and the
command handles Ctrl-C before anything else is imported.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it, without importing typing
if TYPE_CHECKING:
    from heartstream import spark as spark  # this form makes it public to type checkers
    from heartstream.decoding import decode_dead_letter, decode_score, encode_score
    from heartstream.inference import Model, Rejection, Results, load_model
    from schemas.deduplication import RepeatFilter
    from schemas.errors import ArtifactError, DataError, DecodeError, HeartstreamError, SettingsError, ValidationIssue
    from schemas.records import DeadLetter, Details, ModelRef, PatientRecord, Reason, Score, ScoreWarning, Source
    from schemas.topics import DEAD_LETTER_HEADER

__all__ = [
    "DEAD_LETTER_HEADER",
    "ArtifactError",
    "DataError",
    "DeadLetter",
    "DecodeError",
    "Details",
    "HeartstreamError",
    "Model",
    "ModelRef",
    "PatientRecord",
    "Reason",
    "Rejection",
    "RepeatFilter",
    "Results",
    "Score",
    "ScoreWarning",
    "SettingsError",
    "Source",
    "ValidationIssue",
    "decode_dead_letter",
    "decode_score",
    "encode_score",
    "load_model",
]

_MODULES = (
    "heartstream.decoding",
    "schemas.deduplication",
    "schemas.errors",
    "schemas.records",
    "schemas.topics",
    "heartstream.inference",
)
"""Where the names are; only the last one imports NumPy and an inference engine."""

if not TYPE_CHECKING:  # A type checker would accept any name.

    def __getattr__(name: str) -> object:
        """Import a name on first use."""
        if name == "spark":  # Not in __all__: `import *` must not need the extra.
            return import_module("heartstream.spark")
        if name in __all__:
            module = next(module for module in map(import_module, _MODULES) if hasattr(module, name))
            found = globals()[name] = getattr(module, name)
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """List all public names, including those not imported yet."""
        return sorted({*globals(), *__all__, "spark"})
