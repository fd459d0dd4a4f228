"""Laws of CloudEvents: what is scored of an event is what its producer put in, and broken envelopes are told apart."""

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
def test_the_data_of_an_event_is_what_its_producer_put_in(attributes: dict[str, str]) -> None:
    """Whatever its attributes are: an object as it is, bytes through Base64."""
    contents = []
    for data in (PATIENT, RECORD):
        message = to_structured_event(CloudEvent(dict(attributes), data))
        contents.append(unwrap(message.value, list(message.headers.items())))
    assert isinstance(contents[0], bytes)
    assert (json.loads(contents[0]), contents[1]) == (PATIENT, RECORD)


def test_the_bytes_of_data_are_not_written_anew() -> None:
    """Repeated fields and odd numbers inside reach the decoder of records, which knows what to say of them."""
    odd = b'{ "age":6.3e1,"age":64 }'
    value = json.dumps({**ATTRIBUTES, "data": 0}).encode().replace(b'"data": 0', b'"data": ' + odd)
    assert unwrap(value, STRUCTURED) == odd


@pytest.mark.parametrize("headers", [None, [], [("content-type", None)], [("content-type", b"application/json")]])
def test_a_record_that_does_not_say_that_it_is_an_envelope_is_none(headers: list[tuple[str, bytes | None]]) -> None:
    """Not even where it looks like one."""
    assert unwrap(event(), headers) == event()


def test_binary_mode_is_a_plain_record() -> None:
    """Its headers change nothing."""
    message = to_binary_event(CloudEvent({**ATTRIBUTES, "datacontenttype": "application/json"}, RECORD))
    assert unwrap(message.value, list(message.headers.items())) == RECORD


@pytest.mark.parametrize(
    "header",
    [
        ("Content-Type", b"application/cloudevents+json"),
        ("content-type", b"Application/CloudEvents+JSON; charset=utf-8"),
    ],
)
def test_media_types_are_read_as_http_reads_them(header: tuple[str, bytes]) -> None:
    """Case and parameters make no difference."""
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
def test_all_that_is_wrong_with_an_envelope_is_told(changes: dict[str, object], pointers: list[str]) -> None:
    """By one code, with a pointer to each attribute."""
    assert issues(event(**changes)) == [("malformed_event", pointer) for pointer in pointers]


@pytest.mark.parametrize(
    "value",
    [b"no", b"[]", b"\xff", b'{"specversion":"1.0"', b"[" * 30_000, event()[:-1] + b',"x":NaN}', b'"text"'],
    ids=repr,
)
def test_what_is_no_json_object_is_no_event(value: bytes) -> None:
    """The issue points at the record as a whole, or at what is lacking."""
    assert {code for code, _ in issues(value)} == {"malformed_event"}


@pytest.mark.parametrize("second", [b'"data":{}', b'"d\\u0061ta":{}', b'"data_base64":"e30="'])
def test_an_event_with_two_records_is_refused(second: bytes) -> None:
    """No parser's choice decides who of two patients is scored, however the name is written."""
    assert issues(event()[:-1] + b"," + second + b"}") == [("malformed_event", "/data")]


@pytest.mark.parametrize(
    "format_", [b"application/cloudevents+avro", b"application/cloudevents-batch+json", b"application/cloudevents"]
)
def test_other_formats_of_events_are_refused(format_: bytes) -> None:
    """They are said to be events, so their bytes are not taken for records."""
    assert issues(event(), [("content-type", format_)]) == [("malformed_event", "")]


def test_tombstones_and_giants_are_left_to_the_decoder_of_records() -> None:
    """It knows their codes, and reads no more of a giant than its length."""
    giant = event(subject="x" * RECORD_MAX_BYTES)
    assert [unwrap(value, STRUCTURED) for value in (None, b"", giant)] == [None, b"", giant]


@given(
    st.fixed_dictionaries(
        {}, optional={name: st.just(text) | st.just(text) | JSON for name, text in ATTRIBUTES.items()}
    ),
    st.fixed_dictionaries({}, optional={"data": JSON, "data_base64": st.just("e30=") | JSON, "extension": JSON}),
)
def test_an_envelope_is_taken_if_and_only_if_the_sdk_takes_it(
    attributes: dict[str, object], others: dict[str, object]
) -> None:
    """The SDK fills up what is lacking and takes data twice, so what is required must be there for the comparison."""
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
def test_no_fault_repeats_what_an_envelope_holds(text: str) -> None:
    """Messages and pointers are ours alone."""
    marker = f"Zebra {text}"
    for value in (event(specversion=marker), event(**{marker: 1}, id=None), event(data=None, data_base64=marker)):
        content = unwrap(value, [("content-type", b"application/cloudevents+json; x=Zebra")])
        assert isinstance(content, tuple)
        assert "Zebra" not in str(content)


def test_a_scores_headers_are_an_event_to_the_sdk() -> None:
    """All that is required, the schema of the score's bytes, an id of its record's place, and no subject."""
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
