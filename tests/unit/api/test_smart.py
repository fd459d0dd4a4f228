"""Laws of the settings for SMART App Launch: off by default, and only exact addresses are allowed."""

from __future__ import annotations

import msgspec
import pytest

from api.protocols.smart import SmartLaunch
from runtime.settings import Settings, Smart
from schemas.errors import SettingsError
from schemas.fhir.mapping import FhirMapping
from schemas.tables.builtin import UCI_HEART

EHR = "https://ehr.example/fhir"


def test_it_is_off_by_default() -> None:
    """Without settings, the page gets no issuers and may contact no other origin."""
    assert SmartLaunch.of(Smart(), UCI_HEART) == SmartLaunch()
    assert SmartLaunch().issuers == SmartLaunch().origins == ()


def test_origins_are_those_of_issuers_and_token_endpoints() -> None:
    """Each is listed once, without a path."""
    issuers = f"{EHR}/, https://ehr.example/other,http://localhost:8080/fhir"
    launch = SmartLaunch.of(
        Smart("page", issuers, "https://login.example:8443", "openid patient/Patient.rs"), UCI_HEART
    )
    assert launch.issuers == (EHR, "https://ehr.example/other", "http://localhost:8080/fhir")
    assert launch.origins == ("https://ehr.example", "http://localhost:8080", "https://login.example:8443")


@pytest.mark.parametrize(
    "issuer",
    [
        "ehr.example/fhir",
        "http://ehr.example/fhir",
        "http://localhost.evil.example/fhir",
        "https://*.example/fhir",
        "https://ehr.example/fhir; script-src *",
        "https://ehr.example 'unsafe-inline'",
        "https://user@ehr.example/fhir",
        "https://ehr.example/fhir?x=1",
        "https://ehr.example/fhir#x",
        "javascript:alert(1)",
        "https://",
    ],
)
def test_an_address_that_is_not_exact_is_refused(issuer: str) -> None:
    """Neither wildcards nor what could change the browser's policy; http only on this machine."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_SMART__ISSUERS: each must"):
        SmartLaunch.of(Smart("page", issuer), UCI_HEART)
    with pytest.raises(SettingsError, match="HEARTSTREAM_SMART__TOKEN_ORIGINS: each must"):
        SmartLaunch.of(Smart("page", EHR, issuer), UCI_HEART)


def test_token_origins_have_no_path() -> None:
    """An origin is a scheme, a host and a port."""
    with pytest.raises(SettingsError, match="each must look like https://login"):
        SmartLaunch.of(Smart("page", EHR, "https://login.example/token"), UCI_HEART)


def test_scopes_are_those_of_oauth() -> None:
    """Quotes are not allowed in a scope."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_SMART__SCOPES"):
        SmartLaunch.of(Smart("page", EHR, "", 'openid "patient/*.rs"'), UCI_HEART)


def test_searches_find_each_code_once_by_field() -> None:
    """Together they have the codes of all fields and panels; those of a field are in one search."""
    launch, mapping = SmartLaunch.of(Smart("page", EHR), UCI_HEART), FhirMapping.of(UCI_HEART)
    assert mapping is not None
    tokens = [token for search in launch.codes for token in search.split(",")]
    expected = {f"{system}|{code}" for system, code in (*mapping.by_code, *mapping.panels)}
    assert sorted(tokens) == sorted(expected)
    (pressure,) = [search for search in launch.codes if "|8480-6" in search]
    assert "http://loinc.org|85354-9" in pressure
    assert "2093-3" not in pressure


def test_client_and_issuers_are_set_together() -> None:
    """One without the other is reported, not ignored."""
    for name, value in (("CLIENT_ID", "page"), ("ISSUERS", EHR), ("TOKEN_ORIGINS", EHR), ("SCOPES", "openid")):
        with pytest.raises(SettingsError, match=f"HEARTSTREAM_SMART__{name} needs HEARTSTREAM_SMART__"):
            Settings.from_mapping({f"HEARTSTREAM_SMART__{name}": value})


def test_a_table_that_is_not_sent_as_fhir_cannot_be_launched() -> None:
    """The setting is refused for it, as nothing could be read."""
    with pytest.raises(SettingsError, match=r"has no \[fhir\]"):
        SmartLaunch.of(Smart("page", EHR), msgspec.structs.replace(UCI_HEART, fhir=None))
