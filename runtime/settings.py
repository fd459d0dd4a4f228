"""Settings: a value built once from a mapping of names to text, with all that is wrong told together.

A field's name is `HEARTSTREAM_<GROUP>__<FIELD>`. With `_FILE` appended, the value is read from the file that is named:
for secrets. `HEARTSTREAM_KAFKA__OPTIONS__<NAME>` reaches every option of the Kafka client: `SASL_USERNAME` becomes
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
    """How to reach the brokers. `options` go to librdkafka as they are."""

    bootstrap_servers: Name = "localhost:9092"
    options: dict[str, str] = {}


class Topics(msgspec.Struct, frozen=True):
    """Which topics to read and write: each is the name of one Kafka topic, and no two are the same."""

    patients: Name = topics.PATIENTS
    scores: Name = topics.SCORES
    dead_letters: Name = topics.DEAD_LETTERS
    outcomes: Name = topics.OUTCOMES
    shadow: Name = topics.SHADOW


class Worker(msgspec.Struct, frozen=True):
    """How the worker takes and commits records.

    `processing_guarantee` `exactly_once` puts results and offsets into transactions: a consumer that reads committed
    records alone sees each result once. `batch_records` is the most that is scored at once, `flush_max_records` the
    most that is confirmed together (a transaction, under exactly-once), `in_flight_max_records` the most that is scored
    and not confirmed. `instance_id` makes group membership static, so that a restart causes no rebalance.
    `group_protocol` `consumer` is the group protocol of Kafka 4 (KIP-848). The worker stops
    when more than `rejection_limit_ratio` of the last `rejection_window_records` or more were rejected: a bad deploy
    looks like bad data, and must not pour a topic into the dead letters. A partition that stands still for
    `stall_seconds` behind its end is fetched anew; if that does not help, the worker stops. With `cloudevents` each
    score carries the headers of a CloudEvent in binary mode; its bytes are the same.
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
    """A schema registry with Confluent's interface, for records and scores in its frame: docs/formats.md.

    Records in Avro need its `url`, as `http://registry:8081`, and the extra `avro`; framed JSON needs neither. With
    `encode_scores`, scores go out with the number of their JSON Schema, which is registered at start if it is not yet.
    `username` and `password` are for basic authentication: keep the password in a file, and name that by
    `HEARTSTREAM_SCHEMA_REGISTRY__PASSWORD_FILE`.
    """

    url: str = ""
    username: str = ""
    password: str = ""
    encode_scores: bool = False


class Model(msgspec.Struct, frozen=True):
    """Which model to serve: a model directory, and in it `name`, or the one that training called best if empty.

    With `public_key`, a PEM file, only a model that was signed with its private key is served.
    Every `reload_interval_seconds` worker and gateway check whether `path`, which may be a symbolic link, holds another
    model: it is verified in a process of its own and takes over between two batches; 0 is never. It is refused, and the
    one in use stays, if the risks of the last records differ by more than `max_score_shift` on average; 1 is no limit.
    """

    path: Name = "model"
    name: str = ""
    public_key: str = ""
    reload_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_score_shift: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25

    def key_path(self) -> Path | None:
        """Return where the public key is, None where none is set. Raises SettingsError where it cannot be read."""
        return None if self.key() is None else Path(self.public_key)

    def key(self) -> bytes | None:
        """Read the public key, None where none is set. Raises SettingsError."""
        if not self.public_key:
            return None
        try:
            return Path(self.public_key).read_bytes()
        except OSError as error:
            problem = f"{PREFIX}MODEL__PUBLIC_KEY: cannot read the file ({error.strerror})"
            raise SettingsError((problem,)) from error


class Challenger(msgspec.Struct, frozen=True):
    """Which model `heartstream shadow` tries beside the one that is served, and on which `sample_ratio` of the records.

    `path` and `name` are as for the model that is served; the same public key holds for both. With `canary_share` above
    0, workers give so large a share of the keys, half at most, the challenger's scores in place of those of the model
    that is served.
    """

    path: str = ""
    name: str = ""
    sample_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    canary_share: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0


class Score(Details, frozen=True):
    """What a score says beside its risk. Each part can be switched off; the topic is smaller then.

    `interval` and `label_set` say how far the risk can be trusted, `reasons` is how many fields a score names that move
    the risk most, `measure_next` names the missing fields whose measurement would tell most. With `input_digest` it
    names the record's bytes, so that a record that is kept elsewhere can be shown to be the one.
    """


class Drift(msgspec.Struct, frozen=True):
    """Whether records still look like the training patients, told as metrics.

    `window_records` is how many of the last records are compared, 200 at least; 0 switches it off.
    """

    window_records: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 2_000


class Gateway(msgspec.Struct, frozen=True):
    """Where the gateway listens, and the limits of a request.

    `body_limit_bytes` holds for one record, `batch_limit_bytes` and `batch_limit_records` for a JSON array, a tensor or
    a data frame of records; a stream of lines has no limit. A body of one record must be there in
    `body_timeout_seconds`, an array in `batch_timeout_seconds`; whoever streams may pause for `body_timeout_seconds` at
    most, sending or reading. A stream lasts `stream_max_seconds` at most,
    must bring `stream_records_per_second` on average of six such pauses, and a caller has `streams_per_caller` of them.
    `concurrent_requests` is how many are
    under way at once; more are answered with 503. So is what does not fit into `in_flight_limit_bytes` of bodies and
    answers under way, of which one caller may hold half. A caller may send `records_per_second`, in bursts of
    `burst_records`; more are answered with 429. 0 means no such limit. A connection that brings no whole header for
    `keep_alive_seconds` is closed. Told to stop, the gateway says so on `/health/ready` and answers everybody for
    `shutdown_delay_seconds`, so that callers can go elsewhere; then it finishes requests in flight, for `drain_seconds`
    at most.
    With a `metrics_port`, `/metrics` and `/health` are on that port of `HEARTSTREAM_TELEMETRY__HOST`, asking nobody who
    they are, and `/metrics` is there alone.
    With `live`, the gateway reads the three topics from their ends, in no consumer group, and shows the stream on its
    page and at `/stream/events`.
    A request whose Host header has a public name that is not in `allowed_hosts` (separated by commas; * is any) is
    refused. If that is empty, no public name is accepted while the gateway is open to everybody, and every name where
    callers authenticate. IP addresses, names without a dot and names that nobody can register (`.local`, `.internal`,
    `.svc`) are always accepted. A browser's POST for a page of another origin is refused, but for `allowed_origins`
    (as `https://ehr.example.org`, separated by commas).
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
    """Who may use the gateway; without any of these, everybody who can reach it. Health is open to all.

    `api_keys` are lines `name:scopes:sha256` that `heartstream api-key` writes: keep them in a file, and name that by
    `HEARTSTREAM_AUTH__API_KEYS_FILE`. Tokens are accepted of `token_issuer` for `token_audience` whose signing keys are
    at `token_keys_url` (JWKS, https); they need the extra `auth`. With `tls_certificate` and `tls_key`, PEM files, the
    gateway speaks TLS alone; with `tls_client_ca` it asks every client for a certificate, whose common name is the
    caller, who may predict.
    """

    api_keys: str = ""
    token_issuer: str = ""
    token_audience: str = ""
    token_keys_url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""


class Audit(msgspec.Struct, frozen=True):
    """The gateway's audit trail: a JSON line for each record that was to be scored, in `path` (- is standard output).

    With `topic` each line goes to that Kafka topic as well, or there alone; none is kept while both are empty. Nothing
    is answered before its line is on the disk and confirmed by the topic; where that cannot be, callers get 503 and
    `/health/ready` says so. `key` is the secret that makes pseudonyms of patient ids, 16 characters or more:
    keep it in a file, and name that by `HEARTSTREAM_AUDIT__KEY_FILE`. `with_input` writes the whole record as well:
    the trail is patient data then.
    """

    path: str = ""
    topic: str = ""
    key: str = ""
    with_input: bool = False


class Telemetry(msgspec.Struct, frozen=True):
    """Logs, and the worker's own port for `/metrics` and `/health`."""

    host: Name = "127.0.0.1"
    port: Port = 9100
    log_level: Annotated[str, msgspec.Meta(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[str, msgspec.Meta(pattern="^(json|console)$")] = "json"


class Tracing(msgspec.Struct, frozen=True):
    """Traces of records and requests (OpenTelemetry): docs/telemetry.md. They need the extra `tracing`.

    `endpoint` is a collector that takes OTLP over HTTP, as `http://collector:4318`; empty, nothing is traced. Whoever
    brings a trace along decides whether it is recorded; of the others, a `sample_ratio` begins one. More than
    `spans_per_second` records or requests a second are not traced. `headers` are what the collector wants to see, as
    `name=value,name=value`: keep them in a file, and name that by `HEARTSTREAM_TRACING__HEADERS_FILE`. OpenTelemetry's
    own variables say the rest (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_CERTIFICATE` and their like), but cannot
    switch traces on.
    """

    endpoint: str = ""
    headers: str = ""
    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    spans_per_second: Count = 1_000


class EmbeddedKafka(msgspec.Struct, frozen=True):
    """The Apache Kafka that `heartstream demo` and the tests run where no broker is named: docs/embedded-kafka.md.

    Its jars are downloaded from `maven_repository`, as `https://maven.example.com/central`; empty, from the mirror of
    Maven Central in the user's Maven settings (`~/.m2/settings.xml`), or from Maven Central.
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
    """Return all topics that are in use, by the variable that names them."""
    named = {
        f"{PREFIX}TOPICS__{name.upper()}": topic for name, topic in msgspec.structs.asdict(settings.topics).items()
    }
    return named | ({f"{PREFIX}AUDIT__TOPIC": settings.audit.topic} if settings.audit.topic else {})


def _in_force(groups: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Return the variables, without prefix, whose values are not empty, 0 or false."""
    return {f"{group}__{name}".upper() for group, values in groups.items() for name, value in values.items() if value}


def _known_fields() -> Iterator[tuple[str, tuple[str, msgspec.structs.FieldInfo]]]:
    """Yield the variable's name without prefix, and the group and field that it sets."""
    for group in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(group.type):
            if field.name != "options":
                yield f"{group.name}__{field.name}".upper(), (group.name, field)


def _resolved(
    environ: Mapping[str, str], known: Mapping[str, object], problems: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield each of our variables, without prefix, with its text; `_FILE` variables are replaced by what they name."""
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
    """Return one line a setting, as variables, with client options redacted unless they are known to be no secret.

    A protection that is off is a comment: its variable must not be set to nothing.
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
    """Redact what stands before the host in each URL of a value; a host list may hold several."""
    return _USER_INFO.sub("://(redacted)@", value) if isinstance(value, str) else value


_USER_INFO: Final = re.compile(r"://[^\s,]*@")
_SECRET: Final = frozenset({"AUTH__API_KEYS", "AUDIT__KEY", "TRACING__HEADERS", "SCHEMA_REGISTRY__PASSWORD"})
_HARMLESS_OPTIONS: Final = frozenset(
    {"security.protocol", "sasl.mechanism", "sasl.mechanisms", "ssl.ca.location", "client.id", "linger.ms"}
)
