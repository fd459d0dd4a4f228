"""A gateway with a Kafka client validates the client's options before it starts."""

from __future__ import annotations

import pytest

from api.bootstrap import create_application
from api.graceful_shutdown import GracefulShutdown
from api.security.auth import Authenticator
from runtime.settings import Settings
from schemas.errors import SettingsError


@pytest.mark.parametrize("use", [{"HEARTSTREAM_GATEWAY__LIVE": "true"}, {"HEARTSTREAM_AUDIT__TOPIC": "audit"}])
def test_bad_options_are_refused_before_the_gateway_starts(use: dict[str, str]) -> None:
    """Unknown options and options that would weaken delivery are all listed, without their values."""
    names = {"ACKS": "0", "NO_SUCH_THING": "secret"}
    options = {f"HEARTSTREAM_KAFKA__OPTIONS__{name}": text for name, text in names.items()}
    with pytest.raises(SettingsError) as refusal:
        create_application(Settings.from_mapping(use | options), Authenticator([]), GracefulShutdown())
    assert [problem.split(":")[0] for problem in refusal.value.problems] == [
        "Kafka option acks cannot be changed",
        "Kafka option no.such.thing",
    ]
    assert "secret" not in str(refusal.value)
