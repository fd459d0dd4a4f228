"""docs/cds-hooks.md agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from api.protocols.cds_hooks.cards import override_reasons
from runtime.settings import CdsHooks
from schemas.cds_hooks.responses import OVERRIDE_REASONS
from schemas.generate.cds_operations import cds_operations
from schemas.tables.builtin import UCI_HEART
from tests.support.cds_hooks import KEYS
from tests.support.fhir_bundles import UCI_FHIR

PAGE = Path("docs/cds-hooks.md").read_text(encoding="utf-8")


def test_every_operation_and_setting_is_documented() -> None:
    """By path and by name."""
    assert [each.path for each in cds_operations(UCI_FHIR) if f"`{each.method.upper()} {each.path}`" not in PAGE] == []
    names = {field.name.upper() for field in msgspec.structs.fields(CdsHooks)}
    assert names == set(re.findall(r"HEARTSTREAM_CDS_HOOKS__([A-Z_]+)", PAGE))


def test_every_override_reason_is_documented() -> None:
    """They are values of a metric's label, beside two others."""
    (listed,) = re.findall(r"`reason`:([^.]*)\.", PAGE)
    codes = [each.code for each in override_reasons(UCI_HEART)]
    assert re.findall(r"`([a-z-]+)`", listed) == [*codes, "other", "none"]
    assert f'"{OVERRIDE_REASONS}"' in PAGE


def test_the_named_prefetch_keys_exist() -> None:
    """One of each kind."""
    named = set(re.findall(r"`((?:observations|questionnaire)-[a-z]+)`", PAGE))
    assert (len(named), named - {*KEYS}) == (3, set())
