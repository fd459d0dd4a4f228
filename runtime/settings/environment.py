"""All settings of all processes, built from environment variables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from runtime.settings.base import PREFIX
from runtime.settings.checks import incomplete, is_protective, topic_problems
from runtime.settings.gateway import Audit, Auth, CdsHooks, Fhir, Gateway, Smart
from runtime.settings.kafka import EmbeddedKafka, Kafka, SchemaRegistry, Topics
from runtime.settings.model import Challenger, Drift, Model, Score
from runtime.settings.telemetry import Telemetry, Tracing
from runtime.settings.worker import Worker
from schemas.errors import SettingsError

OPTIONS: Final = "KAFKA__OPTIONS__"


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
    fhir: Fhir = Fhir()
    smart: Smart = Smart()
    cds_hooks: CdsHooks = CdsHooks()
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
        known = dict(known_fields())
        options: dict[str, str] = {}
        for variable, text in sorted(_resolved(environ, known, problems)):
            if variable.startswith(OPTIONS):
                options[variable.removeprefix(OPTIONS).lower().replace("_", ".")] = text
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
        named = {f"{OPTIONS}{option}".upper().replace(".", "_") for option in options}
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


def known_fields() -> Iterator[tuple[str, tuple[str, msgspec.structs.FieldInfo]]]:
    """Yield each variable without prefix, with its group and field."""
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
        if target == variable or not (target in known or target.startswith(OPTIONS)):
            if is_protective(variable) and not text.strip():
                problems.append(f"{name} is empty; set a value or unset it")
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
            problems.append(f"{name}: the file is empty; unset the variable to turn the setting off")
        yield target, content


def _suggestion(variable: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    return f"; did you mean {PREFIX}{close[0]}?" if close else ""
