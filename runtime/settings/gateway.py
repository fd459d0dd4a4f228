"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated

import msgspec

from runtime.settings.base import Count, Name, Port, Seconds, Url


class Gateway(msgspec.Struct, frozen=True):
    """Where the gateway listens, and the limits of a request.

    `body_limit_bytes` applies to one record, `batch_limit_bytes` and `batch_limit_records` to a JSON array, a tensor or
    a data frame of records; a stream of lines has no size limit. The body of one record must arrive within
    `body_timeout_seconds`, an array within `batch_timeout_seconds`.

    A streaming client may pause for `body_timeout_seconds` at most, sending or reading. A stream lasts
    `stream_max_seconds` at most and must send `stream_records_per_second` on average over six such pauses; a caller may
    have `streams_per_caller` of them.

    At most `concurrent_requests` requests are processed at once; further ones are answered with 503. So are requests
    that do not fit into `in_flight_limit_bytes`, the total size of bodies and responses in flight, of which one caller
    may use half. A caller may send `records_per_second`, in bursts of `burst_records`; further records are answered
    with 429; 0 means no rate limit. A connection that sends no complete header for `keep_alive_seconds` is closed.

    On SIGTERM, the gateway fails `/health/ready` but keeps serving for `shutdown_delay_seconds`, so that load balancers
    can stop routing to it; then it finishes requests in flight, for `drain_seconds` at most.

    With a `metrics_port`, `/metrics` and `/health` are served without authentication on that port of
    `HEARTSTREAM_TELEMETRY__HOST`, and `/metrics` only there.

    With `live`, the gateway reads the three topics from their ends, without a consumer group, and shows the stream on
    its page and at `/stream/events`.

    `allowed_hosts` lists the public names accepted in the Host header (comma-separated; * is any); requests for others
    are refused. If it is empty, no public name is accepted while authentication is off, and every name is accepted
    while it is on. IP addresses, names without a dot and names that cannot be registered (`.local`, `.internal`,
    `.svc`) are always accepted. Cross-origin POST requests from browsers are refused unless the origin is in
    `allowed_origins` (such as `https://ehr.example.org`, comma-separated).

    `public_url` is the URL of the gateway for its clients, such as `https://risk.example.org`: the URLs of FHIR
    definitions and the links of CDS Hooks cards begin with it. If it is empty, FHIR definitions have the host name that
    the caller uses, and cards have no link to the gateway.
    """

    host: Name = "127.0.0.1"
    port: Port = 8000
    body_limit_bytes: Count = 65_536
    body_timeout_seconds: Seconds = 5.0
    batch_limit_bytes: Count = 8_388_608
    batch_limit_records: Count = 2_500
    batch_timeout_seconds: Seconds = 60.0
    stream_max_seconds: Seconds = 3_600.0
    stream_records_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    streams_per_caller: Count = 64
    concurrent_requests: Count = 256
    in_flight_limit_bytes: Count = 100_663_296
    records_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    burst_records: Count = 10_000
    keep_alive_seconds: Seconds = 75.0
    shutdown_delay_seconds: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    drain_seconds: Seconds = 10.0
    metrics_port: Port = 0
    live: bool = False
    allowed_hosts: str = ""
    allowed_origins: str = ""
    public_url: Url = ""


class Fhir(msgspec.Struct, frozen=True):
    """How the gateway reads FHIR Bundles, which docs/fhir.md describes.

    `strictness` is that of requests that do not name one. Leniently, Observations that are older than `lookback_days`
    are not used; with 0, of any age. `body_limit_bytes` is the size of a Bundle that is read leniently; the strict
    reading takes 256 KiB.
    """

    strictness: Annotated[str, msgspec.Meta(pattern="^(lenient|strict)$")] = "lenient"
    lookback_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    body_limit_bytes: Count = 10_485_760


class Smart(msgspec.Struct, frozen=True):
    """Launch of the web page from EHRs by SMART App Launch, which docs/smart.md describes. If unset, it is off.

    `client_id` is what the EHR's authorization server calls the page, a public client. `issuers` lists the FHIR base
    URLs that it may be launched by and read patients from (such as `https://ehr.example.org/fhir`, comma-separated;
    http only for this machine). `token_origins` lists the origins of their token endpoints, if these differ from those
    of the issuers (such as `https://login.example.org`). `scopes` are requested besides `launch` or `launch/patient`;
    if it is empty, `openid fhirUser` and `patient/*.rs`, or `patient/*.read` of a server that knows only SMART 1.
    """

    client_id: str = ""
    issuers: str = ""
    token_origins: str = ""
    scopes: str = ""


class CdsHooks(msgspec.Struct, frozen=True):
    """The CDS Hooks service of the gateway, which docs/cds-hooks.md describes. It is off unless `enabled`.

    Cards link to the gateway's page at `HEARTSTREAM_GATEWAY__PUBLIC_URL`, if that is set; with a `launch_url`, that of
    a SMART app, they launch that app. With `warn_above_threshold`, a card with a risk at or above the model's threshold
    is a `warning`; all others are `info`.

    `issuers` are the EHRs whose tokens are accepted, each with its keys: `ISSUER KEYS`, comma-separated, where KEYS is
    a JWKS file, or its https URL, the only one that is fetched. They need
    `HEARTSTREAM_GATEWAY__PUBLIC_URL`, with which the audience of tokens begins, and the extra `auth`.
    """

    enabled: bool = False
    launch_url: Url = ""
    warn_above_threshold: bool = False
    issuers: str = ""


class Auth(msgspec.Struct, frozen=True):
    """Authentication of gateway callers. If nothing is set, access is open. Health is always open.

    `api_keys` are lines `name:scopes:sha256` as written by `heartstream api-key`: keep them in a file, named by
    `HEARTSTREAM_AUTH__API_KEYS_FILE`.

    JWTs of `token_issuer` for `token_audience` are accepted, verified with the signing keys at `token_keys_url` (JWKS,
    https); they need the extra `auth`.

    With `tls_certificate` and `tls_key`, PEM files, the gateway serves TLS only. With `tls_client_ca` it requests a
    certificate from every client; the common name identifies the caller, who may predict.
    """

    api_keys: str = ""
    token_issuer: str = ""
    token_audience: str = ""
    token_keys_url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""


class Audit(msgspec.Struct, frozen=True):
    """The gateway's audit trail: one JSON line for each record to be scored, in `path` (- is standard output).

    With `topic`, lines also go to that Kafka topic, or only there if `path` is empty. If both are empty, there is no
    audit trail. A response is sent only after its lines are on disk and confirmed by the topic; if that fails, callers
    get 503 and `/health/ready` fails. `key` is the secret for pseudonymizing patient ids, at least 16 characters: keep
    it in a file, named by `HEARTSTREAM_AUDIT__KEY_FILE`. `with_input` also writes the whole record, but not a
    refused FHIR Bundle of more than 256 KiB; that makes the audit trail patient data.
    """

    path: str = ""
    topic: str = ""
    key: str = ""
    with_input: bool = False
