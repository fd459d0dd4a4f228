"""Settings: a value built once from environment variables; all problems are reported together.

A field's name is `HEARTSTREAM_<GROUP>__<FIELD>`. With the suffix `_FILE`, the value is read from the named file; use it
for secrets. `HEARTSTREAM_KAFKA__OPTIONS__<NAME>` sets any option of the Kafka client: `SASL_USERNAME` becomes
`sasl.username`. This module is the only reader of the environment.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from runtime.settings_checks import PROTECTIVE, incomplete, is_protective, topic_problems
from schemas import topics
from schemas.errors import SettingsError
from schemas.records import Details

PREFIX: Final = "HEARTSTREAM_"
_OPTIONS: Final = "KAFKA__OPTIONS__"

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class Kafka(msgspec.Struct, frozen=True):
    """Kafka connection. `options` are passed to librdkafka unchanged."""

    bootstrap_servers: Name = "localhost:9092"
    options: dict[str, str] = {}


class Topics(msgspec.Struct, frozen=True):
    """Topics to read and write. Each is the name of a single Kafka topic, and no two may be the same."""

    patients: Name = topics.PATIENTS
    scores: Name = topics.SCORES
    dead_letters: Name = topics.DEAD_LETTERS
    outcomes: Name = topics.OUTCOMES
    shadow: Name = topics.SHADOW


class Worker(msgspec.Struct, frozen=True):
    """How the worker consumes, batches and commits records.

    With `processing_guarantee` `exactly_once`, results and offsets are written in transactions, and a `read_committed`
    consumer sees each result once. `batch_records` is the largest batch scored at once. `flush_max_records` is the most
    records confirmed together (one transaction under exactly-once). `in_flight_max_records` is the most records scored
    but not yet confirmed. `instance_id` enables static group membership, so that a restart causes no rebalance.
    `group_protocol` `consumer` selects the Kafka 4 group protocol (KIP-848).

    The worker stops when more than `rejection_limit_ratio` of the last `rejection_window_records` (or more) were
    rejected: a bad deploy looks like bad data, and must not send a whole topic to the dead letters. A partition that
    makes no progress for `stall_seconds` while it has lag is fetched again; if that does not help, the worker stops.

    With `cloudevents`, each score carries CloudEvents headers (binary mode); its value is unchanged.
    """

    group_id: Name = "heartstream"
    instance_id: str = ""
    group_protocol: Annotated[str, msgspec.Meta(pattern="^(classic|consumer)$")] = "classic"
    processing_guarantee: Annotated[str, msgspec.Meta(pattern="^(at_least_once|exactly_once)$")] = "at_least_once"
    batch_records: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 4_000
    flush_max_records: Count = 10_000
    in_flight_max_records: Count = 60_000
    rejection_window_records: Count = 1_000
    rejection_limit_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    commit_interval_seconds: Seconds = 0.25
    drain_seconds: Seconds = 20.0
    stall_seconds: Seconds = 60.0
    cloudevents: bool = False


class SchemaRegistry(msgspec.Struct, frozen=True):
    """A Confluent-compatible schema registry, for records and scores in its wire format: docs/formats.md.

    Avro records need `url`, such as `http://registry:8081`, and the extra `avro`; JSON records need neither. With
    `encode_scores`, scores are written with the ID of their JSON Schema, which is registered at start if needed.
    `username` and `password` are for basic authentication: keep the password in a file, named by
    `HEARTSTREAM_SCHEMA_REGISTRY__PASSWORD_FILE`.
    """

    url: str = ""
    username: str = ""
    password: str = ""
    encode_scores: bool = False


class Model(msgspec.Struct, frozen=True):
    """The model to serve: model `name` in the model directory `path`; if empty, the best one by training.

    With `public_key`, a PEM file, only models signed with its private key are served.

    Every `reload_interval_seconds`, worker and gateway check whether `path`, which may be a symbolic link, holds
    another model; 0 disables the check. The new model is verified in a separate process and takes over between two
    batches. It is refused, and the current one stays in use, if the risks of recent records change by more than
    `max_score_shift` on average; 1 means no limit.
    """

    path: Name = "model"
    name: str = ""
    public_key: str = ""
    reload_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_score_shift: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25

    def key_path(self) -> Path | None:
        """Return the path of the public key, or None if none is set. Raises SettingsError if it cannot be read."""
        return None if self.key() is None else Path(self.public_key)

    def key(self) -> bytes | None:
        """Read the public key; None if none is set. Raises SettingsError."""
        if not self.public_key:
            return None
        try:
            return Path(self.public_key).read_bytes()
        except OSError as error:
            problem = f"{PREFIX}MODEL__PUBLIC_KEY: cannot read the file ({error.strerror})"
            raise SettingsError((problem,)) from error


class Challenger(msgspec.Struct, frozen=True):
    """The model that `heartstream shadow` runs beside the served one, on a `sample_ratio` of the records.

    `path` and `name` are as for the served model; the same public key applies to both. With `canary_share` above 0,
    workers use the challenger's scores instead of the served model's for that share of the keys, 0.5 at most.
    """

    path: str = ""
    name: str = ""
    sample_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    canary_share: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0


class Score(Details, frozen=True):
    """What a score contains besides the risk. Turn parts off to make the topic smaller.

    `interval` and `label_set` quantify the uncertainty of the risk. `reasons` is the number of fields listed as moving
    the risk most. `measure_next` names the missing fields whose measurement would be most informative. `input_digest`
    adds a digest of the record's bytes, to match the score with a copy of the record kept elsewhere.
    """


class Drift(msgspec.Struct, frozen=True):
    """Drift metrics: whether records still resemble the training patients.

    `window_records` is the number of recent records compared, at least 200; 0 disables drift detection.
    """

    window_records: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 2_000


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
    it in a file, named by `HEARTSTREAM_AUDIT__KEY_FILE`. `with_input` also writes the whole record, which makes the
    audit trail patient data.
    """

    path: str = ""
    topic: str = ""
    key: str = ""
    with_input: bool = False


class Telemetry(msgspec.Struct, frozen=True):
    """Logging, and the worker's port for `/metrics` and `/health`."""

    host: Name = "127.0.0.1"
    port: Port = 9100
    log_level: Annotated[str, msgspec.Meta(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[str, msgspec.Meta(pattern="^(json|console)$")] = "json"


class Tracing(msgspec.Struct, frozen=True):
    """OpenTelemetry traces of records and requests: docs/telemetry.md. They need the extra `tracing`.

    `endpoint` is a collector that accepts OTLP over HTTP, such as `http://collector:4318`; if empty, tracing is off.
    An incoming trace context decides whether its trace is recorded; of records and requests without one, a
    `sample_ratio` starts a trace. At most `spans_per_second` records or requests a second are traced. `headers` are
    sent to the collector, as `name=value,name=value`: keep them in a file, named by
    `HEARTSTREAM_TRACING__HEADERS_FILE`. OpenTelemetry's own variables configure the rest (`OTEL_RESOURCE_ATTRIBUTES`,
    `OTEL_EXPORTER_OTLP_CERTIFICATE` and others), but cannot turn tracing on.
    """

    endpoint: str = ""
    headers: str = ""
    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    spans_per_second: Count = 1_000


class EmbeddedKafka(msgspec.Struct, frozen=True):
    """The Apache Kafka that `heartstream demo` and the tests start without a broker: docs/embedded-kafka.md.

    Its jars are downloaded from `maven_repository`, such as `https://maven.example.com/central`; if empty, from the
    mirror of Maven Central in the user's Maven settings (`~/.m2/settings.xml`), or from Maven Central.
    """

    maven_repository: str = ""


class Settings(msgspec.Struct, frozen=True):
    """All settings of all processes, in groups."""

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    worker: Worker = Worker()
    schema_registry: SchemaRegistry = SchemaRegistry()
    model: Model = Model()
    challenger: Challenger = Challenger()
    score: Score = Score()
    drift: Drift = Drift()
    gateway: Gateway = Gateway()
    auth: Auth = Auth()
    audit: Audit = Audit()
    telemetry: Telemetry = Telemetry()
    tracing: Tracing = Tracing()
    embedded_kafka: EmbeddedKafka = EmbeddedKafka()

    @classmethod
    def from_mapping(cls, environ: Mapping[str, str]) -> Settings:
        """Build the settings from `environ`; raises SettingsError that lists every problem."""
        problems: list[str] = []
        groups: dict[str, dict[str, object]] = {}
        known = dict(_known_fields())
        options: dict[str, str] = {}
        for variable, text in sorted(_resolved(environ, known, problems)):
            if variable.startswith(_OPTIONS):
                options[variable.removeprefix(_OPTIONS).lower().replace("_", ".")] = text
                continue
            if variable not in known:
                problems.append(f"{PREFIX}{variable} is not a setting{_suggestion(variable, known)}")
                continue
            group, field = known[variable]
            try:
                groups.setdefault(group, {})[field.name] = msgspec.convert(text, field.type, strict=False)
            except msgspec.ValidationError as error:
                problems.append(f"{PREFIX}{variable}: {error}")
        groups.setdefault("kafka", {})["options"] = options
        named = {f"{_OPTIONS}{option}".upper().replace(".", "_") for option in options}
        problems.extend(incomplete(_in_force(groups) | named, PREFIX))
        if problems:
            raise SettingsError(tuple(problems))
        settings = msgspec.convert(groups, cls)
        if found := tuple(topic_problems(_named_topics(settings))):
            raise SettingsError(found)
        return settings


def _named_topics(settings: Settings) -> dict[str, str]:
    """Return all topics in use, by the variable that sets them."""
    named = {
        f"{PREFIX}TOPICS__{name.upper()}": topic for name, topic in msgspec.structs.asdict(settings.topics).items()
    }
    return named | ({f"{PREFIX}AUDIT__TOPIC": settings.audit.topic} if settings.audit.topic else {})


def _in_force(groups: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Return the variables, without prefix, whose values are not empty, 0 or false."""
    return {f"{group}__{name}".upper() for group, values in groups.items() for name, value in values.items() if value}


def _known_fields() -> Iterator[tuple[str, tuple[str, msgspec.structs.FieldInfo]]]:
    """Yield each variable without prefix, with the group and field that it sets."""
    for group in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(group.type):
            if field.name != "options":
                yield f"{group.name}__{field.name}".upper(), (group.name, field)


def _resolved(
    environ: Mapping[str, str], known: Mapping[str, object], problems: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield each of our variables, without prefix, with its text; `_FILE` variables yield the content of the file."""
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        variable = name.removeprefix(PREFIX)
        target = variable.removesuffix("_FILE")
        if target == variable or not (target in known or target.startswith(_OPTIONS)):
            if is_protective(variable) and not text.strip():
                problems.append(f"{name} is set, but empty; give it a value, or do not set it")
            yield variable, text
            continue
        if PREFIX + target in environ:
            problems.append(f"{PREFIX}{target} and {name} are both set")
            continue
        try:
            content = Path(text).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}: cannot read the file ({type(error).__name__})")
            continue
        if not content:
            problems.append(f"{name}: the file is empty; a setting that is meant to be off must not be named at all")
        yield target, content


def _suggestion(variable: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    return f"; did you mean {PREFIX}{close[0]}?" if close else ""


def describe(settings: Settings) -> list[str]:
    """Return one `NAME=value` line per setting; client options are redacted unless known not to be secret.

    A protection that is off is a comment, because its variable must not be set to an empty value.
    """
    lines = []
    for variable, (group, field) in _known_fields():
        value = getattr(getattr(settings, group), field.name)
        shown = "(redacted)" if value and variable in _SECRET else _without_password(value)
        off = "# " if variable in PROTECTIVE and not value else ""
        lines.append(f"{off}{PREFIX}{variable}={shown}")
    for option, text in sorted(settings.kafka.options.items()):
        shown = text if option in _HARMLESS_OPTIONS else "(redacted)"
        lines.append(f"{PREFIX}{_OPTIONS}{option.upper().replace('.', '_')}={shown}")
    return lines


def _without_password(value: object) -> object:
    """Redact user info in each URL of a value; a host list may hold several."""
    return _USER_INFO.sub("://(redacted)@", value) if isinstance(value, str) else value


_USER_INFO: Final = re.compile(r"://[^\s,]*@")
_SECRET: Final = frozenset({"AUTH__API_KEYS", "AUDIT__KEY", "TRACING__HEADERS", "SCHEMA_REGISTRY__PASSWORD"})
_HARMLESS_OPTIONS: Final = frozenset(
    {"security.protocol", "sasl.mechanism", "sasl.mechanisms", "ssl.ca.location", "client.id", "linger.ms"}
)
