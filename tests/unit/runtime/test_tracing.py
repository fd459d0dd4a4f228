"""Laws of trace context: a valid context is passed on unchanged, and an invalid one is not an error."""

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
def test_a_context_survives_the_headers(trace: int, span: int, flags: int, state: str) -> None:
    """Every context that is written to headers is read back unchanged."""
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
    """A malformed context, as text or as bytes, leaves the record untraced and raises nothing."""
    assert [read_parent([("traceparent", value)]) for value in (text, text.encode())] == [None, None]


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "other"]), st.none() | st.binary())))
def test_no_headers_are_an_error(headers: list[tuple[str, bytes | None]]) -> None:
    """Any number of headers with any bytes is read without an exception."""
    read_parent(headers)


def test_a_later_version_may_have_more_fields() -> None:
    """Of a later version of traceparent, the known fields are read."""
    assert read_parent([("traceparent", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings")]) == Parent(TRACE, SPAN, 1)


def test_the_sampled_flag_is_one_bit() -> None:
    """The other trace flags do not affect it."""
    flags = ["00", "01", "02", "03", "fe", "ff"]
    parents = [read_parent([("traceparent", f"00-{TRACE}-{SPAN}-{text}")]) for text in flags]
    assert [parent is not None and parent.is_sampled for parent in parents] == [False, True, False, True, False, True]


@pytest.mark.parametrize(
    "endpoint",
    ["collector:4318", "ftp://collector", "http://", "http://[::1", "http://a:b", "http://c?x=1", "http://me:secret@c"],
)
def test_an_invalid_endpoint_is_an_error_without_its_value(endpoint: str) -> None:
    """The settings are refused, and the error does not repeat the value, which may hold a password."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_TRACING__ENDPOINT") as error:
        open_tracing(Tracing(endpoint), "worker")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["secret", "=secret", "a=1,secret", "a=sec\nret", "a=s\N{LATIN SMALL LETTER E WITH ACUTE}cret"]
)
def test_invalid_collector_headers_are_an_error_without_their_values(text: str) -> None:
    """The settings are refused, and the error does not repeat the headers, which hold credentials."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_TRACING__HEADERS") as error:
        collector_headers(text)
    assert "cret" not in str(error.value)


def test_collector_headers_are_parsed() -> None:
    """Headers are parsed by name; a value may contain the separator."""
    assert collector_headers("authorization=Basic YTpi==, x=y,") == {"authorization": "Basic YTpi==", "x": "y"}


def test_invalid_opentelemetry_variables_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue smaller than an export batch stops the process at start, with the reason."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with pytest.raises(SettingsError, match=r"OTEL_.*max_export_batch_size"):
        open_tracing(Tracing("http://localhost:4318"), "worker")


def test_opentelemetrys_own_switch_turns_spans_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OTEL_SDK_DISABLED no span is started, and no context is passed on."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = open_tracing(Tracing("http://localhost:4318"), "worker")
    assert tracing is not None
    assert tracing.begin("process", "consumer", Parent(TRACE, SPAN, 1), {}) is None
    tracing.close()


def test_without_an_endpoint_nothing_is_traced() -> None:
    """Without an endpoint nothing is traced, whatever else is set."""
    assert open_tracing(Tracing(sample_ratio=1.0), "worker") is None
