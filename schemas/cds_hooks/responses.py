"""The discovery and the cards of CDS Hooks 2.0."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from schemas.fhir.mapping import OWN
from schemas.fhir.responses import Coding

DISCLAIMER: Final = "Research and education only: not a medical device."
TOPICS: Final = f"{OWN}cds-hooks:topic"
OVERRIDE_REASONS: Final = f"{OWN}cds-hooks:override-reason"
SUMMARY_MAX_CHARS: Final = 139


class Service(msgspec.Struct, frozen=True, rename="camel"):
    """A CDS service, and the FHIR requests whose results it asks for, by key."""

    hook: str
    title: str
    description: str
    id: str
    prefetch: dict[str, str]
    usage_requirements: str


class Services(msgspec.Struct, frozen=True):
    """All services of the gateway."""

    services: tuple[Service, ...]


class CardSource(msgspec.Struct, frozen=True):
    """Where the content of a card is from."""

    label: str
    topic: Coding
    url: str | UnsetType = UNSET


class Link(msgspec.Struct, frozen=True):
    """A link of a card: `smart` links are launched by the EHR."""

    label: str
    url: str
    type: Literal["absolute", "smart"]


class Card(msgspec.Struct, frozen=True, rename="camel"):
    """What the EHR shows. `summary` is a plain text, `detail` is CommonMark."""

    uuid: str
    summary: str
    detail: str
    indicator: Literal["info", "warning"]
    source: CardSource
    override_reasons: tuple[Coding, ...]
    links: tuple[Link, ...] | UnsetType = UNSET


class Cards(msgspec.Struct, frozen=True):
    """The response of a service."""

    cards: tuple[Card, ...]


RESPONSE_TYPES: Final = (Services, Service, Cards, Card, CardSource, Link)
"""All types that responses contain, besides FHIR's."""
