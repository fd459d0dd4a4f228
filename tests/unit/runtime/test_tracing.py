"""Laws of trace context: what can be read is passed on as it was, what cannot be read is no error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.settings import Tracing
from runtime.tracing.otlp import collector_headers
from runtime.tracing.setup import open_tracing
from runtime.tracing.trace_context import Parent, read_parent, write_parent
from schemas.errors import SettingsError

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@given(
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 255),
    st.sampled_from(["", "a=1", "a=1,b@c=2"]),
)
def test_what_is_written_is_read(trace: int, span: int, flags: int, state: str) -> None:
    """Every context comes back as it was."""
    parent = Parent(f"{trace:032x}", f"{span:016x}", flags, state)
    assert read_parent(write_parent(parent)) == parent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "-extra",
        GOOD.upper(),
        GOOD.replace("-", "_"),
        GOOD + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 500,
        GOOD.replace("4", "\N{ARABIC-INDIC DIGIT FOUR}"),
    ],
)
def test_a_malformed_context_is_none(text: str) -> None:
    """Whatever is wrong with it, as text or as bytes: the record is not traced, and nothing is raised."""
    assert [read_parent([("traceparent", value)]) for value in (text, text.encode())] == [None, None]


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "other"]), st.none() | st.binary())))
def test_no_headers_are_an_error(headers: list[tuple[str, bytes | None]]) -> None:
    """Any bytes, any number of headers."""
    read_parent(headers)


def test_a_later_version_may_say_more() -> None:
    """Of a version that is not known here yet, what is known is read."""
    assert read_parent([("traceparent", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings")]) == Parent(TRACE, SPAN, 1)


def test_the_sampled_flag_is_one_bit() -> None:
    """Other flags do not matter."""
    flags = ["00", "01", "02", "03", "fe", "ff"]
    parents = [read_parent([("traceparent", f"00-{TRACE}-{SPAN}-{text}")]) for text in flags]
    assert [parent is not None and parent.is_sampled for parent in parents] == [False, True, False, True, False, True]


@pytest.mark.parametrize(
    "endpoint",
    ["collector:4318", "ftp://collector", "http://", "http://[::1", "http://a:b", "http://c?x=1", "http://me:secret@c"],
)
def test_an_endpoint_that_is_none_is_told_and_not_repeated(endpoint: str) -> None:
    """The process does not start; what stood there may hold a password."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_TRACING__ENDPOINT") as told:
        open_tracing(Tracing(endpoint), "worker")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "text", ["secret", "=secret", "a=1,secret", "a=sec\nret", "a=s\N{LATIN SMALL LETTER E WITH ACUTE}cret"]
)
def test_headers_for_the_collector_that_are_none_are_told_and_not_repeated(text: str) -> None:
    """They hold credentials: the process does not start, and the error has nothing of them."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_TRACING__HEADERS") as told:
        collector_headers(text)
    assert "cret" not in str(told.value)


def test_headers_for_the_collector_are_read() -> None:
    """By name; a value may hold the sign that parts them."""
    assert collector_headers("authorization=Basic YTpi==, x=y,") == {"authorization": "Basic YTpi==", "x": "y"}


def test_variables_that_opentelemetry_refuses_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue shorter than what is sent at once: the process does not start, and says why."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with pytest.raises(SettingsError, match=r"OTEL_.*max_export_batch_size"):
        open_tracing(Tracing("http://localhost:4318"), "worker")


def test_opentelemetrys_own_switch_turns_spans_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OTEL_SDK_DISABLED no span begins, and nothing is passed on."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = open_tracing(Tracing("http://localhost:4318"), "worker")
    assert tracing is not None
    assert tracing.begin("process", "consumer", Parent(TRACE, SPAN, 1), {}) is None
    tracing.close()


def test_without_an_endpoint_nothing_is_traced() -> None:
    """Whatever else is set."""
    assert open_tracing(Tracing(sample_ratio=1.0), "worker") is None
