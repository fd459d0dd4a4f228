"""The requests of CDS Hooks 2.0, with the members that are read.

Others are skipped undecoded, `fhirServer` and `fhirAuthorization` (an access token) among them.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class HookContext(msgspec.Struct, frozen=True, rename="camel"):
    """The context of `patient-view`: who looks at which Patient."""

    user_id: _Text
    patient_id: _Text


class HookRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The call of a service."""

    hook: Literal["patient-view"]
    hook_instance: _Text
    context: HookContext
    prefetch: dict[str, msgspec.Raw] = {}


class PrefetchIssue(msgspec.Struct, frozen=True):
    """An issue of an OperationOutcome."""

    severity: str = ""


class PrefetchLink(msgspec.Struct, frozen=True):
    """A link to another page of a search result."""

    relation: str = ""


class PrefetchValue(msgspec.Struct, frozen=True, rename="camel"):
    """A resource that was prefetched: one resource, a Bundle, or an OperationOutcome."""

    resource_type: str = ""
    id: str = ""
    entry: tuple[msgspec.Raw, ...] = ()
    link: tuple[PrefetchLink, ...] = ()


class PrefetchResource(msgspec.Struct, frozen=True, rename="camel"):
    """Of a resource in a search result, what shows whether the search failed, and whether the result is sorted."""

    resource_type: str = ""
    issue: tuple[PrefetchIssue, ...] = ()
    effective_date_time: str = ""


class PrefetchEntry(msgspec.Struct, frozen=True):
    """An entry of a search result."""

    resource: PrefetchResource = PrefetchResource()


class OverrideReason(msgspec.Struct, frozen=True):
    """Why a card was overridden; its comment is not read."""

    reason: OverrideCoding | UnsetType = UNSET


class OverrideCoding(msgspec.Struct, frozen=True):
    """The code of a reason."""

    code: _Text
    system: str = ""


class AcceptedSuggestion(msgspec.Struct, frozen=True):
    """A suggestion that was accepted."""

    id: _Text


class CardFeedback(msgspec.Struct, frozen=True, rename="camel"):
    """What a user did with a card."""

    card: _Text
    outcome: Literal["accepted", "overridden"]
    outcome_timestamp: Annotated[dt.datetime, msgspec.Meta(tz=True)]
    accepted_suggestions: Annotated[tuple[AcceptedSuggestion, ...], msgspec.Meta(min_length=1)] | UnsetType = UNSET
    override_reason: OverrideReason | UnsetType = UNSET


class FeedbackRequest(msgspec.Struct, frozen=True):
    """What users did with cards."""

    feedback: tuple[CardFeedback, ...]
