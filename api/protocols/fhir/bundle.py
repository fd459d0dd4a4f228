"""Parsing a Bundle into its Patients and Observations, and the issues of its structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET

from api.strict_json import DuplicateMemberError, reject_duplicate_members
from schemas.errors import RejectionCode, ValidationIssue
from schemas.fhir.requests import SentBundle, SentEntry, SentKind, SentObservation, SentParameters, SentPatient

_MAX_ENTRIES: Final = 1000
_MAX_OBJECTS: Final = 10 * _MAX_ENTRIES
"""JSON objects in total: parsing as many takes some 10 ms, which blocks the event loop."""
_KINDS: Final[dict[str, type[SentPatient | SentObservation]]] = {
    "Patient": SentPatient,
    "Observation": SentObservation,
}
_CHOICE: Final = re.compile(r"\.value[A-Z]\w+")
"""valueQuantity in JSON is value in FHIRPath."""
_Decoded = TypeVar("_Decoded")


class BundleIssue(msgspec.Struct, frozen=True):
    """An error, whose pointer is a FHIRPath, and the field that it makes unknown."""

    issue: ValidationIssue
    field: str = ""


class BundleResource(msgspec.Struct, frozen=True):
    """A resource of the Bundle; `path` is its FHIRPath."""

    path: str
    full_url: str
    resource: SentPatient | SentObservation

    @property
    def reference(self) -> str:
        """Its reference for other resources; empty if it has none."""
        kind = "Patient" if isinstance(self.resource, SentPatient) else "Observation"
        if self.resource.id and not self.full_url.startswith(("http://", "https://")):
            return f"{kind}/{self.resource.id}"
        return self.full_url


def bundle_issue(code: RejectionCode, path: str, text: str, field: str = "") -> BundleIssue:
    """Create an issue."""
    return BundleIssue(ValidationIssue(code, path, text), field)


def parse_bundle(body: bytes) -> list[BundleResource | BundleIssue] | BundleIssue:
    """Return the known resources and the issues of the others; a single issue if it is not a valid Bundle."""
    bundle = _bundle_of_body(body)
    if isinstance(bundle, BundleIssue):
        return bundle
    if bundle.type != "collection":
        return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, "Bundle.type", "must be collection")
    if len(bundle.entry) > _MAX_ENTRIES:
        return bundle_issue(RejectionCode.TOO_LARGE, "Bundle.entry", f"too many entries: at most {_MAX_ENTRIES}")
    return list(_resources(bundle))


def _bundle_of_body(body: bytes) -> SentBundle | BundleIssue:
    if body.count(b"{") > _MAX_OBJECTS:
        return bundle_issue(RejectionCode.TOO_LARGE, "", f"too many JSON objects: at most {_MAX_OBJECTS}")
    try:
        reject_duplicate_members(body)
    except DuplicateMemberError:
        return bundle_issue(RejectionCode.DUPLICATE_FIELD, "", "a JSON object has duplicate members")
    except ValueError:
        return bundle_issue(RejectionCode.NOT_JSON, "", "the body is not a JSON document in UTF-8")
    kind = _decode(body, SentKind, "")
    if isinstance(kind, SentKind) and kind.resource_type == "Parameters":
        return _from_parameters(body)
    return _decode_bundle(body)


def _decode_bundle(body: bytes | msgspec.Raw) -> SentBundle | BundleIssue:
    kind = _decode(body, SentKind, "")
    if isinstance(kind, BundleIssue) and kind.issue.code is RejectionCode.NOT_JSON:
        return kind
    if isinstance(kind, BundleIssue) or kind.resource_type != "Bundle":
        return bundle_issue(
            RejectionCode.NOT_AN_OBJECT, "", "send a Bundle, alone or as the parameter `resource` of Parameters"
        )
    return _decode(body, SentBundle, "Bundle")


def _from_parameters(body: bytes) -> SentBundle | BundleIssue:
    """Return the Bundle in Parameters."""
    parameters = _decode(body, SentParameters, "Parameters")
    if isinstance(parameters, BundleIssue):
        return parameters
    match parameters.parameter:
        case (only,) if only.name == "resource" and only.resource is not UNSET:
            return _decode_bundle(only.resource)
    return bundle_issue(
        RejectionCode.NOT_AN_OBJECT, "Parameters", "must have one parameter, `resource`, which is a Bundle"
    )


def _resources(bundle: SentBundle) -> Iterator[BundleResource | BundleIssue]:
    for index, entry in enumerate(bundle.entry):
        found = _resource_of(entry, f"Bundle.entry[{index}].resource")
        if found is not None:
            yield found


def _resource_of(entry: SentEntry, path: str) -> BundleResource | BundleIssue | None:
    """Parse an entry; None if its resource type is ignored."""
    if entry.resource is UNSET:
        return bundle_issue(RejectionCode.MISSING_FIELD, path, "the entry has no resource")
    kind = _decode(entry.resource, SentKind, path)
    if isinstance(kind, BundleIssue):
        return kind
    if not kind.resource_type:
        return bundle_issue(RejectionCode.MISSING_FIELD, f"{path}.resourceType", "is required")
    if kind.resource_type not in _KINDS:
        return None
    resource = _decode(entry.resource, _KINDS[kind.resource_type], path)
    return resource if isinstance(resource, BundleIssue) else BundleResource(path, entry.full_url, resource)


def _decode(body: bytes | msgspec.Raw, kind: type[_Decoded], path: str) -> _Decoded | BundleIssue:
    """Decode JSON as a resource.

    The decoder's message names types and elements, never values, as these types have no enumerations.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        text, _, element = str(error).partition(" - at `$")
        element = _CHOICE.sub(".value", element.rstrip("`").replace("[...]", ""))
        return bundle_issue(RejectionCode.WRONG_TYPE, path + element, text)
    except msgspec.MsgspecError:
        return bundle_issue(RejectionCode.NOT_JSON, path, "the body contains an unpaired surrogate")
