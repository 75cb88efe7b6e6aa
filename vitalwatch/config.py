"""One declaration of every setting: it gives the TOML file, the environment, flags and help.

A setting ``[kafka] bootstrap`` of the file is ``VITALWATCH_KAFKA_BOOTSTRAP`` in the environment
and ``--kafka-bootstrap`` on the command line of those commands that use it. A flag beats the
environment, the environment beats the file, the file beats the default. The file is named by
``--config`` or ``VITALWATCH_CONFIG``; none is read otherwise. Secrets have no flag, because
everyone on a machine can read its command lines.
"""

import argparse
import difflib
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from vitalwatch.errors import ConfigurationError

ENVIRONMENT_PREFIX: Final = "VITALWATCH"
MASK: Final = "********"

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Emit = Literal["block", "reading", "none"]
StreamKind = Literal["auto", "live", "simulated", "replay"]
LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]


def _about(
    description: str, *, allowed: str | None = None, secret: bool = False, **limits: Any
) -> msgspec.Meta:
    """What help and errors say of a setting, and its limits (msgspec's ge, gt, le, pattern)."""
    return msgspec.Meta(
        description=description, extra={"allowed": allowed, "secret": secret}, **limits
    )


class Kafka(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the broker."""

    bootstrap: Annotated[
        str,
        _about(
            "brokers to ask first",
            allowed="HOST:PORT, several with commas between",
            pattern=r"^[^\s,:]+:\d{1,5}(,[^\s,:]+:\d{1,5})*\Z",
        ),
    ] = "127.0.0.1:9092"
    security_protocol: Annotated[SecurityProtocol, _about("encryption and login")] = "PLAINTEXT"
    sasl_mechanism: Annotated[SaslMechanism, _about("how to log in, with SASL_…")] = "SCRAM-SHA-512"
    username: Annotated[str, _about("user, with SASL_…")] = ""
    password: Annotated[str, _about("password, with SASL_…", secret=True)] = ""
    ca_file: Annotated[
        str, _about("PEM file of the broker's authority, with …SSL; empty: the system's")
    ] = ""
    cert_file: Annotated[str, _about("PEM file of the client's certificate, if asked for")] = ""
    key_file: Annotated[str, _about("PEM file of that certificate's key")] = ""


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """Topics' names and shape; a replay with its recorded times needs a prefix of its own."""

    prefix: Annotated[
        str,
        _about(
            "what the topics' names begin with",
            allowed="1 to 200 of the letters a-z, A-Z, 0-9, '.', '_' and '-'",
            pattern=r"^[a-zA-Z0-9._-]{1,200}\Z",
        ),
    ] = "vitals"
    partitions: Annotated[int, _about("partitions of a new topic", ge=1, le=10_000)] = 8
    replication: Annotated[int, _about("copies that Kafka keeps of a new topic", ge=1, le=9)] = 1

    @property
    def readings(self) -> str:
        """Readings, the input."""
        return f"{self.prefix}.readings"

    @property
    def scores(self) -> str:
        """Scores of every reading."""
        return f"{self.prefix}.scores"

    @property
    def alerts(self) -> str:
        """Alert events."""
        return f"{self.prefix}.alerts"

    @property
    def state(self) -> str:
        """Snapshots of the patients' state, compacted."""
        return f"{self.prefix}.state"

    @property
    def dead_letters(self) -> str:
        """Records that are not readings, with reason and origin."""
        return f"{self.prefix}.dead-letters"

    @property
    def acks(self) -> str:
        """People's acknowledgements of alerts."""
        return f"{self.prefix}.acks"

    @property
    def truth(self) -> str:
        """What really happens to simulated patients."""
        return f"{self.prefix}.truth"


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """The loop of ``vitalwatch run``."""

    group: Annotated[
        str, _about("consumer group; workers of one group share the partitions", min_length=1)
    ] = "vitalwatch"
    instance: Annotated[
        str,
        _about("stable name of this worker, so that its restart moves no partition; empty: none"),
    ] = ""
    max_records: Annotated[int, _about("readings scored at once, at most", ge=1, le=100_000)] = 5000
    commit_seconds: Annotated[
        float,
        _about("scores are committed every so often, and at once with an alert", gt=0, le=60),
    ] = 0.1
    shutdown_seconds: Annotated[
        float, _about("deadline for finishing and leaving the group when stopped", gt=0, le=600)
    ] = 10.0
    snapshot_seconds: Annotated[
        float,
        _about("the state of each partition is kept on its topic every so often", gt=0, le=86_400),
    ] = 30.0
    warmup_minutes: Annotated[
        float,
        _about(
            "past readings gone through again, without a word, where there is no state to start "
            "from",
            ge=0,
            le=10_080,
        ),
    ] = 60.0
    dead_letter_limit: Annotated[
        float,
        _about(
            "share of the last 10,000 records that may be dead letters before the daemon stops; "
            "1: never",
            ge=0,
            le=1,
        ),
    ] = 0.5


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to the scores topic."""

    emit: Annotated[
        Emit, _about("one record for a batch, one for each reading (three times the cost), or none")
    ] = "block"


class Alarms(msgspec.Struct, frozen=True, kw_only=True):
    """When to alert."""

    budget: Annotated[
        float, _about("false alarms that a patient may cause per day", gt=0, le=1000)
    ] = 1.0
    adjust: Annotated[
        bool,
        _about(
            "follow the rate of alarms that a partition realises: rarities are divided by a factor "
            "of 1/4 to 4 that takes days to change; an audit then needs the log from its beginning"
        ),
    ] = False
    stale_seconds: Annotated[
        float,
        _about(
            "no reading for so long, by the stream's time, is a lost signal; longer where a "
            "patient is read seldom",
            ge=1,
            le=86_400,
        ),
    ] = 300.0
    discharge_hours: Annotated[
        float,
        _about("no reading for so long, by the stream's time, frees the state", gt=0, le=8760),
    ] = 24.0


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The trained network."""

    path: Annotated[str, _about("model file; empty: the one that comes with VitalWatch")] = ""


class Monitoring(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics, health, logs and traces."""

    host: Annotated[
        str, _about("address that /metrics, /livez and /readyz listen on", min_length=1)
    ] = "127.0.0.1"
    port: Annotated[int, _about("port of the same; 0 picks a free one", ge=0, le=65_535)] = 9108
    log_format: Annotated[LogFormat, _about("auto: text on a terminal, JSON elsewhere")] = "auto"
    log_level: Annotated[LogLevel, _about("least important messages to log")] = "info"
    traces: Annotated[
        str,
        _about(
            "collector that traces go to, OTLP over HTTP; empty: none (needs the extra otel)",
            allowed="empty, or a URL such as http://127.0.0.1:4318/v1/traces",
            pattern=r"^(https?://\S+)?\Z",
        ),
    ] = ""


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The web page of ``vitalwatch dashboard``, and who may see it."""

    host: Annotated[
        str,
        _about(
            "address that it listens on; another than this machine's own needs a token or a proxy",
            min_length=1,
        ),
    ] = "127.0.0.1"
    port: Annotated[int, _about("port of the same; 0 picks a free one", ge=0, le=65_535)] = 9180
    title: Annotated[str, _about("what the page calls itself", min_length=1)] = "VitalWatch"
    stream: Annotated[
        StreamKind,
        _about("what the page says that it shows; auto: simulated where the topic of truth is"),
    ] = "auto"
    view_token: Annotated[
        str, _about("whoever has it may look; at least 16 characters", secret=True)
    ] = ""
    acknowledge_token: Annotated[
        str, _about("whoever has it may also acknowledge; at least 16 characters", secret=True)
    ] = ""
    proxy_header: Annotated[
        str,
        _about("header in which a reverse proxy says who it is that it has let in; empty: none"),
    ] = ""
    proxy_addresses: Annotated[
        str,
        _about("where that proxy's requests come from", allowed="addresses with commas between"),
    ] = "127.0.0.1,::1"
    proxy_acknowledge: Annotated[
        str,
        _about(
            "who of those whom it has let in may also acknowledge; *: all",
            allowed="names with commas between, or *",
        ),
    ] = "*"
    backfill_minutes: Annotated[
        float, _about("past readings and scores that are read at the start", ge=0, le=1440)
    ] = 60.0
    alert_hours: Annotated[
        float, _about("past alerts that are read at the start", ge=0, le=8760)
    ] = 72.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, by section."""

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    daemon: Daemon = Daemon()
    scores: Scores = Scores()
    alarms: Alarms = Alarms()
    model: Model = Model()
    monitoring: Monitoring = Monitoring()
    dashboard: Dashboard = Dashboard()


class Setting(NamedTuple):
    """One setting as declared: its place, its annotated type, and what is said of it."""

    section: str
    name: str
    type: Any
    default: Any
    description: str
    allowed: str
    secret: bool

    @property
    def key(self) -> str:
        """Name in messages: ``kafka.bootstrap``."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """Name on the command line: ``--kafka-bootstrap``."""
        return "--" + f"{self.section}-{self.name}".replace("_", "-")

    @property
    def variable(self) -> str:
        """Name in the environment: ``VITALWATCH_KAFKA_BOOTSTRAP``."""
        return f"{ENVIRONMENT_PREFIX}_{self.section}_{self.name}".upper()


class Resolved(NamedTuple):
    """Settings, and for each ``section.name`` the word for where its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def _allowed(kind: Any, limits: msgspec.Meta) -> str:
    """What values a setting may have, in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if kind is str:
        return "a text in UTF-8 that is not empty" if limits.min_length else "a text in UTF-8"
    if kind is bool:
        return "true or false"
    words = "a whole number" if kind is int else "a number"
    if limits.gt is not None:
        words += f" above {limits.gt:g}"
    if limits.ge is not None:
        words += f" of at least {limits.ge:g}"
    if limits.le is not None:
        words += f" and at most {limits.le:g}"
    return words


def _declared() -> Iterator[Setting]:
    for section in msgspec.structs.fields(Settings):
        hints = get_type_hints(section.type, include_extras=True)
        for field in msgspec.structs.fields(section.type):
            kind, about = get_args(hints[field.name])
            extra = about.extra
            yield Setting(
                section.name,
                field.name,
                hints[field.name],
                field.default,
                about.description,
                extra["allowed"] or _allowed(kind, about),
                extra["secret"],
            )


SETTINGS: Final = tuple(_declared())
"""Every setting, in the order of declaration."""

SECTIONS: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def add_flags(parser: argparse.ArgumentParser, *sections: str) -> None:
    """Give a command ``--config`` and the flags of the sections that it uses.

    ``section.name`` stands for one flag of a section.
    """
    config = parser.add_argument_group("configuration")
    config.add_argument(
        "--config", metavar="FILE", help="TOML file of settings [env: VITALWATCH_CONFIG]"
    )
    for wanted in sections:
        section = wanted.partition(".")[0]
        title = SECTIONS[section].__doc__
        group = parser.add_argument_group(f"[{section}]", title)
        for setting in SETTINGS:
            if wanted not in (setting.section, setting.key) or setting.secret:
                continue
            default = setting.default if setting.default != "" else "empty"
            choices = get_args(get_args(setting.type)[0])
            text = f"{setting.description} [env: {setting.variable}] [default: {default}]"
            group.add_argument(
                setting.flag,
                dest=setting.key,
                default=argparse.SUPPRESS,
                metavar="|".join(choices) if choices else setting.name.split("_")[-1].upper(),
                help=text.replace("%", "%%"),
            )


def load(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, environment, file and defaults.

    Raises ConfigurationError for a value that is not allowed, with its origin, and for a key
    of the file that is no setting.
    """
    return resolve(arguments, environ).settings


def resolve(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Resolved:
    """Like :func:`load`, with the origin of every value."""
    _refuse_misspelt(environ)
    name = getattr(arguments, "config", None) or environ.get(f"{ENVIRONMENT_PREFIX}_CONFIG")
    written = _read(Path(name)) if name else {}
    given = vars(arguments)
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        table = written.get(setting.section, {})
        if setting.key in given:
            value, origin = _convert(setting, given[setting.key], setting.flag), setting.flag
        elif setting.variable in environ:
            value = _convert(setting, environ[setting.variable], setting.variable)
            origin = setting.variable
        elif setting.name in table:
            origin = f"{name} [{setting.section}] {setting.name}"
            value = _convert(setting, table[setting.name], origin, strict=True)
        else:
            value, origin = setting.default, "default"
        values[setting.section][setting.name] = value
        origins[setting.key] = origin
    settings = Settings(**{section: kind(**values[section]) for section, kind in SECTIONS.items()})
    _check(settings, origins)
    return Resolved(settings, origins)


def _convert(setting: Setting, value: Any, origin: str, *, strict: bool = False) -> Any:
    """A raw value as the setting's type; a file's types count (``strict``), texts are parsed."""
    try:
        result = msgspec.convert(value, setting.type, strict=strict)
        if isinstance(result, float) and not math.isfinite(result):
            raise msgspec.ValidationError
        if isinstance(result, str):
            result.encode()  # arguments and variables may hold any bytes
    except (msgspec.ValidationError, UnicodeEncodeError):
        shown = "of a wrong kind" if setting.secret else json.dumps(value, default=str)
        raise ConfigurationError(
            f"Setting {setting.key} is {shown} (from {origin}); it must be {setting.allowed}."
        ) from None
    return result


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The file's tables, all of whose keys are settings."""
    try:
        with path.open("rb") as stream:
            tables = tomllib.load(stream)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read the configuration file {path}: {error.strerror}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The configuration file {path} is not valid TOML: {error}."
        ) from None
    for section, table in tables.items():
        if section not in SECTIONS:
            raise ConfigurationError(
                f"{path}: [{section}] is no section of the settings; {_near(section, SECTIONS)}"
            )
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: {section} is a section; write [{section}].")
        names = [setting.name for setting in SETTINGS if setting.section == section]
        for key in table:
            if key not in names:
                raise ConfigurationError(
                    f"{path}: [{section}] {key} is no setting; {_near(key, names)}"
                )
    return tables


def _near(word: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}."


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Refuse variables that are nearly a setting's; others with our prefix may be anyone's.

    (Kubernetes sets, for a service of our name, variables such as VITALWATCH_SERVICE_HOST.)
    """
    known = [setting.variable for setting in SETTINGS] + [f"{ENVIRONMENT_PREFIX}_CONFIG"]
    for variable in environ:
        if variable.startswith(f"{ENVIRONMENT_PREFIX}_") and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1, cutoff=0.93)
            if near:
                raise ConfigurationError(
                    f"The environment has {variable}, which is no setting; did you mean {near[0]}?"
                )


def _check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Refuse values that are allowed alone but not together."""
    kafka = settings.kafka
    if kafka.security_protocol.startswith("SASL_") and not (kafka.username and kafka.password):
        missing = "password" if kafka.username else "username"
        raise ConfigurationError(
            f"Setting kafka.security_protocol is {kafka.security_protocol} "
            f"(from {origins['kafka.security_protocol']}), which needs kafka.{missing}: "
            f"set {ENVIRONMENT_PREFIX}_KAFKA_{missing.upper()}."
        )
    if bool(kafka.cert_file) != bool(kafka.key_file):
        have, need = ("cert", "key") if kafka.cert_file else ("key", "cert")
        raise ConfigurationError(
            f"Setting kafka.{have}_file (from {origins[f'kafka.{have}_file']}) "
            f"needs kafka.{need}_file beside it."
        )


def show(resolved: Resolved, *, origin: bool = False) -> str:
    """Settings as a TOML file, secrets masked; each with where it came from if ``origin``."""
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"[{section}]"]
        for setting in SETTINGS:
            if setting.section != section:
                continue
            value = getattr(getattr(resolved.settings, section), setting.name)
            hidden = setting.secret and value
            line = f"{setting.name} = {json.dumps(MASK if hidden else value, ensure_ascii=False)}"
            if hidden:
                line = f"# {line}"  # or a file made of this would log in with the mask
            lines.append(f"{line}  # {resolved.origins[setting.key]}" if origin else line)
        lines.append("")
    return "\n".join(lines)
