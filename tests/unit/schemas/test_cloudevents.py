"""Laws of CloudEvents: the data of an event is scored as its producer wrote it; invalid envelopes are distinguished."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import ScoreEvents, unwrap
from schemas.records import RECORD_MAX_BYTES, Source
from tests.support.examples import accepted

RECORD = dict(accepted())["complete"]
PATIENT: dict[str, Any] = json.loads(RECORD)
STRUCTURED = [("content-type", b"application/cloudevents+json")]
ATTRIBUTES = {"specversion": "1.0", "id": "e-1", "source": "/clinic", "type": "patient"}
TEXT = st.text(st.characters(codec="utf-8"), min_size=1)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXT, lambda inner: st.lists(inner, max_size=3))


def event(**changes: object) -> bytes:
    """Write an envelope around a record; None leaves an attribute out."""
    members = {**ATTRIBUTES, "data": PATIENT, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def issues(value: bytes, headers: list[tuple[str, bytes | None]] | None = None) -> list[tuple[str, str]]:
    content = unwrap(value, headers or STRUCTURED)
    assert isinstance(content, tuple)
    return [(str(issue.code), issue.pointer) for issue in content]


@given(st.fixed_dictionaries({"id": TEXT, "source": TEXT, "type": TEXT, "subject": TEXT}))
def test_the_data_of_an_event_is_what_its_producer_wrote(attributes: dict[str, str]) -> None:
    """An object is taken as it is and `data_base64` is decoded, whatever the event's attributes are."""
    contents = []
    for data in (PATIENT, RECORD):
        message = to_structured_event(CloudEvent(dict(attributes), data))
        contents.append(unwrap(message.value, list(message.headers.items())))
    assert isinstance(contents[0], bytes)
    assert (json.loads(contents[0]), contents[1]) == (PATIENT, RECORD)


def test_the_bytes_of_data_are_not_reserialized() -> None:
    """Repeated fields and unusual numbers in the data reach the record decoder, which reports them."""
    odd = b'{ "age":6.3e1,"age":64 }'
    value = json.dumps({**ATTRIBUTES, "data": 0}).encode().replace(b'"data": 0', b'"data": ' + odd)
    assert unwrap(value, STRUCTURED) == odd


@pytest.mark.parametrize("headers", [None, [], [("content-type", None)], [("content-type", b"application/json")]])
def test_without_the_content_type_a_record_is_not_an_envelope(headers: list[tuple[str, bytes | None]]) -> None:
    """A record without the content type of CloudEvents is not unwrapped, even if it looks like an envelope."""
    assert unwrap(event(), headers) == event()


def test_a_binary_mode_event_is_a_plain_record() -> None:
    """The headers of binary mode do not change how the value is read."""
    message = to_binary_event(CloudEvent({**ATTRIBUTES, "datacontenttype": "application/json"}, RECORD))
    assert unwrap(message.value, list(message.headers.items())) == RECORD


@pytest.mark.parametrize(
    "header",
    [
        ("Content-Type", b"application/cloudevents+json"),
        ("content-type", b"Application/CloudEvents+JSON; charset=utf-8"),
    ],
)
def test_media_types_are_compared_as_in_http(header: tuple[str, bytes]) -> None:
    """Case and parameters of the content type make no difference."""
    assert json.loads(unwrap(event(), [("other", b"x"), header])) == PATIENT  # type: ignore[arg-type]  # bytes, or the test fails


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"specversion": "0.3"}, ["/specversion"]),
        ({"specversion": 1.0, "id": "", "source": 7, "type": None}, ["/specversion", "/id", "/source", "/type"]),
        ({"data": None}, ["/data"]),
        ({"data_base64": base64.b64encode(RECORD).decode()}, ["/data"]),
        ({"data": None, "data_base64": "no base64"}, ["/data_base64"]),
        ({"data": None, "data_base64": "é"}, ["/data_base64"]),
        ({"data": None, "data_base64": {}}, ["/data_base64"]),
        ({"subject": "\ud800"}, [""]),
    ],
    ids=str,
)
def test_every_issue_of_an_envelope_is_reported(changes: dict[str, object], pointers: list[str]) -> None:
    """An invalid envelope has one rejection code, with a pointer to each bad attribute."""
    assert issues(event(**changes)) == [("malformed_event", pointer) for pointer in pointers]


@pytest.mark.parametrize(
    "value",
    [b"no", b"[]", b"\xff", b'{"specversion":"1.0"', b"[" * 30_000, event()[:-1] + b',"x":NaN}', b'"text"'],
    ids=repr,
)
def test_a_value_that_is_not_a_json_object_is_not_an_event(value: bytes) -> None:
    """Malformed JSON, or JSON other than an object, is reported as a malformed event."""
    assert {code for code, _ in issues(value)} == {"malformed_event"}


@pytest.mark.parametrize("second", [b'"data":{}', b'"d\\u0061ta":{}', b'"data_base64":"e30="'])
def test_an_event_with_two_records_is_refused(second: bytes) -> None:
    """Two data members are refused, however the name is written, so that no parser decides which patient is scored."""
    assert issues(event()[:-1] + b"," + second + b"}") == [("malformed_event", "/data")]


@pytest.mark.parametrize(
    "format_", [b"application/cloudevents+avro", b"application/cloudevents-batch+json", b"application/cloudevents"]
)
def test_other_event_formats_are_refused(format_: bytes) -> None:
    """A content type of another event format or of a batch is refused, not read as a record."""
    assert issues(event(), [("content-type", format_)]) == [("malformed_event", "")]


def test_tombstones_and_oversized_values_are_left_to_the_record_decoder() -> None:
    """The record decoder has their rejection codes, and reads only the length of an oversized value."""
    giant = event(subject="x" * RECORD_MAX_BYTES)
    assert [unwrap(value, STRUCTURED) for value in (None, b"", giant)] == [None, b"", giant]


@given(
    st.fixed_dictionaries(
        {}, optional={name: st.just(text) | st.just(text) | JSON for name, text in ATTRIBUTES.items()}
    ),
    st.fixed_dictionaries({}, optional={"data": JSON, "data_base64": st.just("e30=") | JSON, "extension": JSON}),
)
def test_an_envelope_is_accepted_if_and_only_if_the_sdk_accepts_it(
    attributes: dict[str, object], others: dict[str, object]
) -> None:
    """Required attributes are always given here: the SDK fills missing ones in, and accepts data twice."""
    members = {**attributes, **others}
    value = json.dumps(members).encode()
    complete = {*ATTRIBUTES} <= members.keys() and ("data" in members) != ("data_base64" in members)
    try:
        from_kafka_event(KafkaMessage(dict(STRUCTURED), None, value))
    except Exception:  # noqa: BLE001  # it raises much: of its own, TypeError, binascii.Error
        complete = False
    content = unwrap(value, STRUCTURED)
    if not complete:
        assert isinstance(content, tuple)
    elif isinstance(content, tuple):
        # The SDK's Base64 skips what is not of its alphabet.
        assert [issue.pointer for issue in content] == ["/data_base64"]


@given(TEXT)
def test_no_issue_repeats_a_value_of_the_envelope(text: str) -> None:
    """Messages and pointers hold only our own text, nothing of the envelope."""
    marker = f"Zebra {text}"
    for value in (event(specversion=marker), event(**{marker: 1}, id=None), event(data=None, data_base64=marker)):
        content = unwrap(value, [("content-type", b"application/cloudevents+json; x=Zebra")])
        assert isinstance(content, tuple)
        assert "Zebra" not in str(content)


def test_the_headers_of_a_score_are_an_event_to_the_sdk() -> None:
    """They have every required attribute, the score's schema, an id from its record's position, and no subject."""
    headers = ScoreEvents("scores").headers(Source("patients", 2, 4711))
    assert headers == ScoreEvents("scores").headers(Source("patients", 2, 4711))
    read = from_kafka_event(KafkaMessage({name: value or b"" for name, value in headers}, None, b'{"risk":0.5}'))
    assert (read.get_specversion(), read.get_id(), read.get_source()) == (
        "1.0",
        "patients:2:4711",
        "/heartstream/scores",
    )
    assert (read.get_type(), read.get_dataschema()) == ("heartstream.score.v1", "urn:heartstream:score:1")
    assert (read.get_datacontenttype(), read.get_subject(), read.get_data()) == (
        "application/json",
        None,
        {"risk": 0.5},
    )
