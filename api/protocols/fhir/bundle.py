"""Parsing a Bundle into its Patients and Observations, and the issues of its structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET

from api.strict_json import DuplicateMemberError, reject_duplicate_members
from schemas.errors import RejectionCode, ValidationIssue
from schemas.fhir.requests import (
    SentBundle,
    SentEntry,
    SentKind,
    SentObservation,
    SentParameter,
    SentPatient,
    SentResponse,
)

_MAX_ENTRIES: Final = 1000
_MAX_OBJECTS: Final = 10 * _MAX_ENTRIES
"""JSON objects in total: parsing as many takes some 10 ms, which blocks the event loop."""
_KINDS: Final[dict[str, type[SentPatient | SentObservation | SentResponse]]] = {
    "Patient": SentPatient,
    "Observation": SentObservation,
    "QuestionnaireResponse": SentResponse,
}
_KIND_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_CHOICE: Final = re.compile(r"\.value[A-Z]\w+")
"""valueQuantity in JSON is value in FHIRPath."""
_START_BYTES: Final = 100
"""Of a body that is not JSON, what shows whether it is XML."""
_EXPECTED: Final = re.compile(r"Expected `(\w+)")
_WORDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number of 32 bits",
    "object": "an object",
    "str": "a text",
}
_Decoded = TypeVar("_Decoded")


class BundleIssue(msgspec.Struct, frozen=True):
    """An error, whose pointer is a FHIRPath, and the field that it makes unknown."""

    issue: ValidationIssue
    field: str = ""


class BundleResource(msgspec.Struct, frozen=True):
    """A resource of the Bundle; `path` is its FHIRPath."""

    path: str
    full_url: str
    resource: SentPatient | SentObservation | SentResponse

    @property
    def reference(self) -> str:
        """Its reference for other resources; empty if it has none."""
        if self.resource.id and not self.full_url.startswith(("http://", "https://")):
            return f"{self.kind}/{self.resource.id}"
        return self.full_url

    @property
    def kind(self) -> str:
        """The type of the resource."""
        return _KIND_NAMES[type(self.resource)]


def bundle_issue(code: RejectionCode, path: str, text: str, field: str = "") -> BundleIssue:
    """Create an issue."""
    return BundleIssue(ValidationIssue(code, path, text), field)


def parse_bundle(body: bytes) -> list[BundleResource | BundleIssue] | BundleIssue:
    """Return the known resources and the issues of the others; a single issue if it is not a valid Bundle."""
    bundle = _bundle_of_body(body)
    if isinstance(bundle, BundleIssue):
        return bundle
    if len(bundle.entry) > _MAX_ENTRIES:
        return bundle_issue(RejectionCode.TOO_LARGE, "Bundle.entry", f"too many entries: at most {_MAX_ENTRIES}")
    return [*check_type(bundle, ("collection",)), *_resources(bundle)]


def check_type(bundle: SentBundle, types: Sequence[str]) -> Iterator[BundleIssue]:
    """Yield an issue if a Bundle is of another type."""
    if bundle.type not in types:
        yield bundle_issue(RejectionCode.IMPOSSIBLE_CODE, "Bundle.type", f"must be {', '.join(types)}")


def _bundle_of_body(body: bytes) -> SentBundle | BundleIssue:
    if body.count(b"{") > _MAX_OBJECTS:
        return bundle_issue(RejectionCode.TOO_LARGE, "", f"too many JSON objects: at most {_MAX_OBJECTS}")
    return check_members(body, "") or bundle_in(body)


def check_members(body: bytes, path: str) -> BundleIssue | None:
    """Return an issue if JSON is invalid, or an object in it has two members of one name."""
    try:
        reject_duplicate_members(body)
    except DuplicateMemberError:
        return bundle_issue(RejectionCode.DUPLICATE_FIELD, path, "a JSON object has duplicate members")
    except ValueError:
        return _not_json(body, path)
    return None


def _not_json(body: bytes | msgspec.Raw, path: str) -> BundleIssue:
    is_xml = bytes(memoryview(body)[:_START_BYTES]).lstrip().startswith(b"<")
    text = "this is XML: send the Bundle as JSON" if is_xml else "must be a JSON document in UTF-8"
    return bundle_issue(RejectionCode.NOT_JSON, path, text)


def bundle_in(
    body: bytes | msgspec.Raw, *, to_populate: bool = False, is_parameter: bool = False
) -> SentBundle | BundleIssue:
    """Return the Bundle that a body is, or has as its only parameter.

    One call parses all of it, as another costs as much again. `to_populate`: it may also be the content of the
    parameter `context`, among others, which the Bundle that is returned has as its own.
    """
    found = decode(body, SentBundle, "Bundle")
    if isinstance(found, SentBundle) and found.resource_type == "Bundle":
        return found
    if isinstance(found, SentBundle) and found.resource_type == "Parameters" and not is_parameter:
        parameters = _contents(found.parameter) if to_populate else found.parameter
        match parameters:
            case (SentParameter(name="resource", resource=msgspec.Raw() as raw),):
                inner = bundle_in(raw, is_parameter=True)
                is_bundle = to_populate and isinstance(inner, SentBundle)
                return msgspec.structs.replace(inner, parameter=found.parameter) if is_bundle else inner
        text = f"must have one parameter, `resource`{' or `context`' if to_populate else ''}, which has a Bundle"
        return bundle_issue(RejectionCode.NOT_AN_OBJECT, "Parameters", text)
    if isinstance(found, BundleIssue) and found.issue.code is RejectionCode.NOT_JSON:
        return _not_json(body, "")
    if isinstance(found, BundleIssue) and _is_bundle(body):
        return found
    text = "send a Bundle, alone or as the parameter `resource` of Parameters"
    return bundle_issue(RejectionCode.NOT_AN_OBJECT, "", text)


def _contents(parameters: Sequence[SentParameter]) -> tuple[SentParameter, ...]:
    """Return the parameters with a resource, those in a part of SDC's `context` as `resource`."""
    found = [each for each in parameters if each.name == "resource"]
    parts = (part for each in parameters if each.name == "context" for part in each.part if part.name == "content")
    return (*found, *(SentParameter("resource", part.resource) for part in parts))


def _is_bundle(body: bytes | msgspec.Raw) -> bool:
    kind = decode(body, SentKind, "")
    return isinstance(kind, SentKind) and kind.resource_type == "Bundle"


def _resources(bundle: SentBundle) -> Iterator[BundleResource | BundleIssue]:
    for index, entry in enumerate(bundle.entry):
        found = _resource_of(entry, f"Bundle.entry[{index}].resource")
        if found is not None:
            yield found


def _resource_of(entry: SentEntry, path: str) -> BundleResource | BundleIssue | None:
    """Parse an entry; None if its resource type is ignored."""
    if entry.resource is UNSET:
        return bundle_issue(RejectionCode.MISSING_FIELD, path, "the entry has no resource")
    kind = decode(entry.resource, SentKind, path)
    if isinstance(kind, BundleIssue):
        return kind
    if not kind.resource_type:
        return bundle_issue(RejectionCode.MISSING_FIELD, f"{path}.resourceType", "is required")
    if kind.resource_type not in _KINDS:
        return None
    resource = decode(entry.resource, _KINDS[kind.resource_type], path)
    return resource if isinstance(resource, BundleIssue) else BundleResource(path, entry.full_url, resource)


def decode(body: bytes | msgspec.Raw, kind: type[_Decoded], path: str) -> _Decoded | BundleIssue:
    """Decode JSON as a resource.

    The decoder's message names types and elements, never values, as these types have no enumerations.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        text, _, element = str(error).partition(" - at `$")
        element = _CHOICE.sub(".value", element.rstrip("`").replace("[...]", ""))
        return bundle_issue(RejectionCode.WRONG_TYPE, path + element, _in_plain_words(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _not_json(body, path)


def _in_plain_words(message: str) -> str:
    """Return the decoder's message without the names of its types."""
    found = _EXPECTED.match(message)
    return f"must be {_WORDS.get(found[1], 'of another type')}" if found else "has an invalid value"
