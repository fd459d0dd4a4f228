"""The FHIR resources that requests contain, with the elements that are read; others are ignored."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

Integer = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Optional = UnsetType | msgspec.Raw
"""An element of which only the presence matters."""


class SentCoding(msgspec.Struct, frozen=True):
    """A code of a code system."""

    system: str = ""
    code: str = ""


class SentConcept(msgspec.Struct, frozen=True):
    """Codes of the same concept."""

    coding: tuple[SentCoding, ...] = ()


class SentQuantity(msgspec.Struct, frozen=True):
    """A number with its unit."""

    value: float | UnsetType = UNSET
    system: str = ""
    code: str = ""
    unit: str = ""
    comparator: Optional = UNSET


class SentReference(msgspec.Struct, frozen=True):
    """A reference to another resource."""

    reference: str = ""


class SentPeriod(msgspec.Struct, frozen=True):
    """A period of time."""

    start: str = ""
    end: str = ""


class SentValue(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The value of an Observation or of a component: one `value[x]`, or why it is absent."""

    code: SentConcept = SentConcept()
    value_quantity: SentQuantity | UnsetType = UNSET
    value_codeable_concept: SentConcept | UnsetType = UNSET
    value_boolean: bool | UnsetType = UNSET
    value_integer: Integer | UnsetType = UNSET
    value_string: Optional = UNSET
    value_range: Optional = UNSET
    value_ratio: Optional = UNSET
    value_sampled_data: Optional = UNSET
    value_time: Optional = UNSET
    value_date_time: Optional = UNSET
    value_period: Optional = UNSET
    data_absent_reason: Optional = UNSET
    modifier_extension: Optional = UNSET


class SentObservation(SentValue, frozen=True, rename="camel", kw_only=True):
    """An Observation of the patient."""

    id: str = ""
    status: str = ""
    subject: SentReference | UnsetType = UNSET
    effective_date_time: str = ""
    effective_instant: str = ""
    effective_period: SentPeriod = SentPeriod()
    effective_timing: Optional = UNSET
    component: tuple[SentValue, ...] = ()
    specimen: SentReference = SentReference()
    focus: Optional = UNSET
    context: Optional = UNSET
    related: Optional = UNSET
    triggered_by: Optional = UNSET
    implicit_rules: Optional = UNSET


class SentAnswer(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An answer of an item: one `value[x]`, and the items inside it."""

    value_boolean: bool | UnsetType = UNSET
    value_decimal: float | UnsetType = UNSET
    value_integer: Integer | UnsetType = UNSET
    value_coding: SentCoding | UnsetType = UNSET
    value_quantity: SentQuantity | UnsetType = UNSET
    value_string: Optional = UNSET
    value_date: Optional = UNSET
    value_date_time: Optional = UNSET
    value_time: Optional = UNSET
    value_uri: Optional = UNSET
    value_attachment: Optional = UNSET
    value_reference: Optional = UNSET
    modifier_extension: Optional = UNSET
    item: tuple[SentItem, ...] = ()


class SentItem(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A question or a group of a QuestionnaireResponse."""

    link_id: str = ""
    answer: tuple[SentAnswer, ...] = ()
    item: tuple[SentItem, ...] = ()
    modifier_extension: Optional = UNSET


class SentResponse(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A QuestionnaireResponse; in STU3, `questionnaire` is a reference."""

    id: str = ""
    questionnaire: str | SentReference = ""
    status: str = ""
    subject: SentReference | UnsetType = UNSET
    authored: str = ""
    item: tuple[SentItem, ...] = ()
    modifier_extension: Optional = UNSET
    implicit_rules: Optional = UNSET

    @property
    def canonical(self) -> str:
        """What it names its questionnaire by; empty if it names none."""
        named = self.questionnaire
        return named.reference if isinstance(named, SentReference) else named


class SentCollection(msgspec.Struct, frozen=True, rename="camel"):
    """How a Specimen was taken."""

    fasting_status_codeable_concept: SentConcept = SentConcept()


class SentSpecimen(msgspec.Struct, frozen=True, rename="camel"):
    """A Specimen of an Observation."""

    id: str = ""
    status: str = ""
    subject: SentReference | UnsetType = UNSET
    modifier_extension: Optional = UNSET
    implicit_rules: Optional = UNSET
    collection: SentCollection = SentCollection()


class SentLink(msgspec.Struct, frozen=True):
    """A link of a Patient to another, of a type, or of a Bundle to another page, by its relation."""

    type: str = ""
    relation: str = ""


class SentPatient(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The patient."""

    id: str = ""
    gender: str = ""
    birth_date: str = ""
    active: bool = True
    deceased_boolean: bool = False
    deceased_date_time: Optional = UNSET
    unknown_deceased_date_time: Optional = msgspec.field(default=UNSET, name="_deceasedDateTime")
    link: tuple[SentLink, ...] = ()
    modifier_extension: Optional = UNSET
    implicit_rules: Optional = UNSET


class SentEntry(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An entry of a Bundle."""

    full_url: str = ""
    resource: Optional = UNSET


class SentParameter(msgspec.Struct, frozen=True):
    """A named parameter of an operation."""

    name: str = ""
    resource: Optional = UNSET
    part: tuple[SentParameter, ...] = ()
    value_reference: SentReference = msgspec.field(default=SentReference(), name="valueReference")


class SentBundle(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A Bundle of resources, or the Parameters in which FHIR libraries wrap the input of an operation."""

    resource_type: str = ""
    type: str = ""
    link: tuple[SentLink, ...] = ()
    entry: tuple[SentEntry, ...] = ()
    parameter: tuple[SentParameter, ...] = ()


class SentHead(msgspec.Struct, frozen=True, rename="camel"):
    """Of a resource, its type and what shows whether it has fields: the code, or the questionnaire."""

    resource_type: str = ""
    code: Optional = UNSET
    questionnaire: Optional = UNSET


class SentKind(msgspec.Struct, frozen=True, rename="camel"):
    """The type of a resource."""

    resource_type: str = ""
