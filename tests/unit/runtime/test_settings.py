"""Laws of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.generate.settings import PAGE, render
from runtime.settings import Settings, describe
from schemas.errors import SettingsError


def test_an_empty_environment_gives_the_defaults() -> None:
    """No variable is required."""
    assert Settings.from_mapping({}) == Settings()


def test_a_variable_sets_its_field() -> None:
    """The variable's name is the group and the field; numbers are parsed."""
    settings = Settings.from_mapping({"HEARTSTREAM_WORKER__BATCH_RECORDS": "17", "OTHER": "x"})
    assert settings.worker.batch_records == 17


def test_all_problems_are_reported_together() -> None:
    """Invalid values, unknown names (with a suggestion) and unreadable files are reported in one error."""
    environment = {
        "HEARTSTREAM_GATEWAY__PORT": "70000",
        "HEARTSTREAM_WORKER__BATCH_RECORD": "5",
        "HEARTSTREAM_MODEL__PATH_FILE": "/nowhere/at/all",
        "HEARTSTREAM_WORKER__DRAIN_SECONDS": "soon",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(environment)
    report = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert all(name in report for name in environment)
    assert "did you mean HEARTSTREAM_WORKER__BATCH_RECORDS?" in report


@pytest.mark.parametrize("name", ["^t31", "a,b", "a b", ".", "..", "a/b", "é", "x" * 250, "t\n"])
def test_a_topic_name_must_be_valid_in_kafka(name: str) -> None:
    """A regular expression would be subscribed to, and every record dropped silently; a list is not one topic."""
    for variable in ("TOPICS__PATIENTS", "TOPICS__SCORES", "TOPICS__SHADOW", "AUDIT__TOPIC"):
        with pytest.raises(SettingsError, match=f"HEARTSTREAM_{variable} must be the name of one Kafka topic"):
            Settings.from_mapping({f"HEARTSTREAM_{variable}": name})


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("TOPICS__DEAD_LETTERS", "patients"),
        ("TOPICS__SCORES", "patients"),
        ("TOPICS__SCORES", "patients.dlq"),
        ("TOPICS__SHADOW", "scores"),
        ("AUDIT__TOPIC", "outcomes"),
    ],
)
def test_no_two_purposes_share_a_topic(variable: str, name: str) -> None:
    """Dead letters on the patients topic would be read as records, rejected, and written again for ever."""
    with pytest.raises(SettingsError, match="are the same topic") as caught:
        Settings.from_mapping({f"HEARTSTREAM_{variable}": name})
    assert f"HEARTSTREAM_{variable}" in str(caught.value)


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    """`_FILE` reads the value from the named file, without the trailing line break."""
    secret = tmp_path / "password"
    secret.write_text("s3cret\n", encoding="utf-8")
    settings = Settings.from_mapping({"HEARTSTREAM_KAFKA__OPTIONS__CLIENT_ID_FILE": str(secret)})
    assert settings.kafka.options == {"client.id": "s3cret"}


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    """Two sources for one setting are a problem, not a race."""
    environment = {"HEARTSTREAM_MODEL__PATH": "a", "HEARTSTREAM_MODEL__PATH_FILE": str(tmp_path)}
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_mapping(environment)


def test_the_description_shows_no_secret() -> None:
    """Keys and credentials are hidden; a client option is shown only where it is known to be harmless."""
    secrets = ("KAFKA__OPTIONS__SASL_PASSWORD", "AUTH__API_KEYS", "AUDIT__KEY", "TRACING__HEADERS")
    others = {"KAFKA__OPTIONS__SECURITY_PROTOCOL": "SASL_SSL", "AUDIT__PATH": "trail", "TRACING__ENDPOINT": "http://x"}
    environment = {**dict.fromkeys(secrets, "s3cret"), **others}
    settings = Settings.from_mapping({f"HEARTSTREAM_{name}": text for name, text in environment.items()})
    shown = "\n".join(describe(settings))
    assert "s3cret" not in shown
    assert "HEARTSTREAM_KAFKA__OPTIONS__SECURITY_PROTOCOL=SASL_SSL" in shown


def test_the_description_can_be_read_back() -> None:
    """The description, as an environment, gives the same settings."""
    settings = Settings.from_mapping({"HEARTSTREAM_TOPICS__SCORES": "risk", "HEARTSTREAM_WORKER__BATCH_RECORDS": "9"})
    assert Settings.from_mapping(dict(line.split("=", 1) for line in describe(settings))) == settings


def test_the_settings_page_is_current() -> None:
    """docs/settings.md describes the settings as they are now."""
    assert PAGE.read_text(encoding="utf-8") == render()


def _every_variable() -> list[str]:
    return [line.removeprefix("# ").partition("=")[0] for line in describe(Settings())]


@pytest.mark.parametrize("variable", [*_every_variable(), "HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD"])
def test_an_empty_file_is_refused(variable: str, tmp_path: Path) -> None:
    """An empty file is refused for any setting: a lost secret must not pass as an optional one."""
    for number, content in enumerate(("", "\n", " \n\t\n")):
        (tmp_path / str(number)).write_text(content, encoding="utf-8")
        with pytest.raises(SettingsError, match=f"{variable}_FILE: the file is empty"):
            Settings.from_mapping({f"{variable}_FILE": str(tmp_path / str(number))})


@pytest.mark.parametrize("variable", [name for name in _every_variable() if "_AUTH__" in name or "AUDIT__KEY" in name])
@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_access_setting_is_refused(variable: str, text: str) -> None:
    """No setting that restricts access can be set to nothing, as by a template without its value."""
    with pytest.raises(SettingsError, match=f"{variable} is empty"):
        Settings.from_mapping({variable: text})


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"AUDIT__KEY": "0123456789abcdef"}, "AUDIT__PATH"),
        ({"AUDIT__WITH_INPUT": "true"}, "AUDIT__TOPIC"),
        ({"AUTH__TOKEN_ISSUER": "https://id"}, "AUTH__TOKEN_AUDIENCE"),
        ({"AUTH__TOKEN_ISSUER": "https://id", "AUTH__TOKEN_AUDIENCE": "us"}, "AUTH__TOKEN_KEYS_URL"),
        ({"AUTH__TOKEN_KEYS_URL": "https://id/keys"}, "AUTH__TOKEN_ISSUER"),
        ({"AUTH__TLS_KEY": "key.pem"}, "AUTH__TLS_CERTIFICATE"),
        ({"AUTH__TLS_CLIENT_CA": "ca.pem"}, "AUTH__TLS_CERTIFICATE"),
        ({"SCHEMA_REGISTRY__USERNAME": "us"}, "SCHEMA_REGISTRY__URL"),
        ({"SCHEMA_REGISTRY__PASSWORD": "s3cret"}, "SCHEMA_REGISTRY__USERNAME"),
        ({"SCHEMA_REGISTRY__ENCODE_SCORES": "true"}, "SCHEMA_REGISTRY__URL"),
        ({"CHALLENGER__CANARY_SHARE": "0.1"}, "CHALLENGER__PATH"),
        ({"TRACING__HEADERS": "authorization=x"}, "TRACING__ENDPOINT"),
        ({"TRACING__SAMPLE_RATIO": "0.1"}, "TRACING__ENDPOINT"),
        ({"KAFKA__OPTIONS__SASL_PASSWORD": "s3cret"}, "KAFKA__OPTIONS__SECURITY_PROTOCOL"),
        ({"KAFKA__OPTIONS__SSL_CA_LOCATION": "ca.pem"}, "KAFKA__OPTIONS__SECURITY_PROTOCOL"),
    ],
)
def test_an_incomplete_group_is_refused(given: dict[str, str], needed: str) -> None:
    """Part of a group of settings is not enough: the message names what is missing, and no secret."""
    with pytest.raises(SettingsError, match=f"needs .*HEARTSTREAM_{needed}.*, which is not set") as caught:
        Settings.from_mapping({f"HEARTSTREAM_{name}": text for name, text in given.items()})
    assert not [text for text in given.values() if len(text) > 4 and text in str(caught.value)]


def test_no_password_in_a_url_is_shown() -> None:
    """No setting that holds a URL shows its password, whatever comes before the host."""
    urls = {
        "SCHEMA_REGISTRY__URL": "https://reader:pa/ss@word@registry:8081",
        "TRACING__ENDPOINT": "http://secret-token@collector:4318",
        "AUTH__TOKEN_KEYS_URL": "https://a:secret@id.example/keys",
        "AUTH__TOKEN_ISSUER": "https://id.example",
        "AUTH__TOKEN_AUDIENCE": "heartstream",
        "KAFKA__BOOTSTRAP_SERVERS": "SASL_SSL://u:secret@one:9092,SASL_SSL://u:secret@two:9092",
    }
    shown = "\n".join(describe(Settings.from_mapping({f"HEARTSTREAM_{name}": url for name, url in urls.items()})))
    assert [each for each in ("secret", "pa/ss", "word") if each in shown.replace("PASSWORD", "")] == []
    assert all(
        f"@{host}" in shown for host in ("registry:8081", "collector:4318", "id.example/keys", "one:9092", "two:9092")
    )
