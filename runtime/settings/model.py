"""Settings of the models and their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from runtime.settings.base import PREFIX, Name
from schemas.errors import SettingsError
from schemas.records import Details


class Model(msgspec.Struct, frozen=True):
    """The model to serve: model `name` in the model directory `path`; if empty, the best one by training.

    With `public_key`, a PEM file, only models signed with its private key are served.

    Every `reload_interval_seconds`, worker and gateway check whether `path`, which may be a symbolic link, holds
    another model; 0 disables the check. The new model is verified in a separate process and takes over between two
    batches. It is refused, and the current one stays in use, if the risks of recent records change by more than
    `max_score_shift` on average; 1 means no limit.

    `native` says whether records are read and scores written by the extension heartstream-native: `auto` where it is
    installed in this version, `off` never, `required` always, or the process does not start. The scores are the same.
    """

    path: Name = "model"
    name: str = ""
    public_key: str = ""
    reload_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_score_shift: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25
    native: Literal["auto", "off", "required"] = "auto"

    def key_path(self) -> Path | None:
        """Return the path of the public key, or None if none is set. Raises SettingsError if it cannot be read."""
        return None if self.key() is None else Path(self.public_key)

    def key(self) -> bytes | None:
        """Read the public key; None if none is set. Raises SettingsError."""
        if not self.public_key:
            return None
        try:
            return Path(self.public_key).read_bytes()
        except OSError as error:
            problem = f"{PREFIX}MODEL__PUBLIC_KEY: cannot read the file ({error.strerror})"
            raise SettingsError((problem,)) from error


class Challenger(msgspec.Struct, frozen=True):
    """The model that `heartstream shadow` runs beside the served one, on a `sample_ratio` of the records.

    `path` and `name` are as for the served model; the same public key applies to both. With `canary_share` above 0,
    workers use the challenger's scores instead of the served model's for that share of the keys, 0.5 at most.
    """

    path: str = ""
    name: str = ""
    sample_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    canary_share: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0


class Score(Details, frozen=True):
    """What a score contains besides the risk. Turn parts off to make the topic smaller.

    `interval` and `label_set` quantify the uncertainty of the risk. `reasons` is the number of fields listed as moving
    the risk most. `measure_next` names the missing fields whose measurement would be most informative. `input_digest`
    adds a digest of the record's bytes, to match the score with a copy of the record kept elsewhere.
    """


class Drift(msgspec.Struct, frozen=True):
    """Drift metrics: whether records still resemble the training patients.

    `window_records` is the number of recent records compared, at least 200; 0 disables drift detection.
    """

    window_records: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 2_000
