"""SMART App Launch of the web page: which EHRs may launch it, and what it asks them for.

The gateway takes no part in a launch: the page authorizes itself at the EHR, reads the patient there, and keeps the
token. The gateway only says which servers the page may contact, to the page and, as a policy, to the browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import msgspec

from runtime.settings import Smart
from schemas.errors import SettingsError
from schemas.fhir.mapping import FhirMapping
from schemas.tables.feature_table import FeatureTable

_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?(?P<path>(/[\w.~%-]+)*)",
    re.ASCII,
)
"""No wildcards, and nothing that separates the sources or directives of a Content-Security-Policy."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749, section 3.3."""
_CODES_PER_SEARCH: Final = 40
"""Their URL stays below 4 KB."""


class SmartLaunch(msgspec.Struct, frozen=True):
    """What the page needs for a launch; without `issuers`, launches are off.

    `origins` are those that the page may contact: of the issuers, and of their token endpoints. `codes` are the values
    of the search parameter `code` of the searches that together find the Observations of the feature table.
    """

    client_id: str = ""
    issuers: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    scopes: str = ""
    codes: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Smart, table: FeatureTable) -> SmartLaunch:
        """Read the settings, for a table. Raises SettingsError."""
        if not settings.issuers:
            return cls()
        mapping = FhirMapping.of(table)
        if mapping is None:
            raise SettingsError(("HEARTSTREAM_SMART__ISSUERS: the model's feature table has no [fhir]",))
        issuers = _parse(settings.issuers, "ISSUERS", "https://ehr.example.org/fhir", may_have_path=True)
        others = _parse(settings.token_origins, "TOKEN_ORIGINS", "https://login.example.org", may_have_path=False)
        if not all(map(_SCOPE.fullmatch, settings.scopes.split())):
            raise SettingsError(("HEARTSTREAM_SMART__SCOPES: must be scopes separated by blanks",))
        origins = dict.fromkeys((*("{0.scheme}://{0.netloc}".format(urlsplit(each)) for each in issuers), *others))
        return cls(settings.client_id, issuers, tuple(origins), settings.scopes, tuple(_searches(mapping)))


def _parse(text: str, setting: str, example: str, *, may_have_path: bool) -> tuple[str, ...]:
    """Parse a comma-separated list of URLs, without slashes at their ends. Raises SettingsError."""
    urls = tuple(dict.fromkeys(each.strip().rstrip("/") for each in text.split(",") if each.strip()))
    for url in urls:
        found = _URL.fullmatch(url)
        if found is None or (found["path"] and not may_have_path):
            raise SettingsError((f"HEARTSTREAM_SMART__{setting}: each must look like {example}",))
        if found["scheme"] == "http" and found["host"] not in _THIS_MACHINE:
            raise SettingsError((f"HEARTSTREAM_SMART__{setting}: each must be https; http only for localhost",))
    return urls


def _searches(mapping: FhirMapping) -> Iterator[str]:
    """Yield the codes of each field as tokens of a search, so that none hides those of others; then all codes of ours.

    A field's codes include those of its panels.
    """
    own = [_token(mapping.system, feature.name) for feature in mapping.table.features]
    for feature in mapping.table.features:
        panels = (code for code, fields in mapping.panels.items() if feature.name in fields)
        codes = [(each.system, each.code) for each in mapping.measures if each.field == feature.name]
        tokens = [token for each in (*codes, *panels) if (token := _token(*each)) not in own]
        if tokens:
            yield ",".join(tokens)
    for start in range(0, len(own), _CODES_PER_SEARCH):
        yield ",".join(own[start : start + _CODES_PER_SEARCH])


def _token(system: str, code: str) -> str:
    r"""Return a code as a search parameter has it: what separates the parts of one is escaped, as in `a\,b`."""
    return "|".join(re.sub(r"([\\|,$])", r"\\\1", part) for part in (system, code))
