"""Laws of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.settings import Settings, describe
from runtime.settings_page import PAGE, render
from schemas.errors import SettingsError


def test_defaults_need_nothing() -> None:
    """An empty environment gives the defaults."""
    assert Settings.from_mapping({}) == Settings()


def test_a_variable_sets_its_field() -> None:
    """Group and field are in the name; numbers are read as numbers."""
    settings = Settings.from_mapping({"HEARTSTREAM_WORKER__BATCH_RECORDS": "17", "OTHER": "x"})
    assert settings.worker.batch_records == 17


def test_every_problem_is_told_at_once() -> None:
    """Bad values, unknown names (with a suggestion) and unreadable files come in one error."""
    environment = {
        "HEARTSTREAM_GATEWAY__PORT": "70000",
        "HEARTSTREAM_WORKER__BATCH_RECORD": "5",
        "HEARTSTREAM_MODEL__PATH_FILE": "/nowhere/at/all",
        "HEARTSTREAM_WORKER__DRAIN_SECONDS": "soon",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(environment)
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert all(name in told for name in environment)
    assert "did you mean HEARTSTREAM_WORKER__BATCH_RECORDS?" in told


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    """`_FILE` reads the value, without the line's end, from the file that is named."""
    secret = tmp_path / "password"
    secret.write_text("s3cret\n", encoding="utf-8")
    settings = Settings.from_mapping({"HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD_FILE": str(secret)})
    assert settings.kafka.options == {"sasl.password": "s3cret"}


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    """Two sources for one setting are a problem, not a race."""
    environment = {"HEARTSTREAM_MODEL__PATH": "a", "HEARTSTREAM_MODEL__PATH_FILE": str(tmp_path)}
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_mapping(environment)


def test_describing_shows_no_secret() -> None:
    """Keys and credentials are not; client options only where they are known to be harmless."""
    secrets = ("KAFKA__OPTIONS__SASL_PASSWORD", "AUTH__API_KEYS", "AUDIT__KEY", "TRACING__HEADERS")
    environment = {**dict.fromkeys(secrets, "s3cret"), "KAFKA__OPTIONS__SECURITY_PROTOCOL": "SASL_SSL"}
    settings = Settings.from_mapping({f"HEARTSTREAM_{name}": text for name, text in environment.items()})
    shown = "\n".join(describe(settings))
    assert "s3cret" not in shown
    assert "HEARTSTREAM_KAFKA__OPTIONS__SECURITY_PROTOCOL=SASL_SSL" in shown


def test_description_can_be_read_back() -> None:
    """What is described, as an environment, gives the same settings."""
    settings = Settings.from_mapping({"HEARTSTREAM_TOPICS__SCORES": "risk", "HEARTSTREAM_WORKER__BATCH_RECORDS": "9"})
    assert Settings.from_mapping(dict(line.split("=", 1) for line in describe(settings))) == settings


def test_the_settings_page_is_current() -> None:
    """docs/settings.md says what the settings are now."""
    assert PAGE.read_text(encoding="utf-8") == render()
