import argparse
import tomllib
from pathlib import Path

import pytest

from vitalwatch import config
from vitalwatch.errors import ConfigurationError


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    config.add_flags(parser, *config.SECTIONS)
    return parser.parse_args(words)


def refused(*words: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config.load(arguments(*words), environ or {})
    assert caught.value.exit_code == 78
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vitalwatch.toml"
    path.write_text('[kafka]\nbootstrap = "from-file:1"\n[alarms]\nbudget = 2\n')
    return path


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    file: Path,
) -> None:
    environ = {"VITALWATCH_KAFKA_BOOTSTRAP": "from-environment:1"}
    flag = ["--kafka-bootstrap", "from-flag:1"]

    def bootstrap(*words: str, environ: dict[str, str]) -> str:
        return config.load(arguments(*words), environ).kafka.bootstrap

    assert bootstrap(environ={}) == "127.0.0.1:9092"
    assert bootstrap("--config", str(file), environ={}) == "from-file:1"
    assert bootstrap("--config", str(file), environ=environ) == "from-environment:1"
    assert bootstrap("--config", str(file), *flag, environ=environ) == "from-flag:1"


def test_the_environment_can_name_the_file(file: Path) -> None:
    settings = config.load(arguments(), {"VITALWATCH_CONFIG": str(file)})
    assert settings.alarms.budget == 2.0


def test_texts_are_parsed_as_the_settings_type() -> None:
    settings = config.load(
        arguments("--daemon-max-records", "12"), {"VITALWATCH_ALARMS_BUDGET": "0.5"}
    )
    assert settings.daemon.max_records == 12
    assert settings.alarms.budget == 0.5


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (
            ["--kafka-security-protocol", "TLS"],
            {},
            'Setting kafka.security_protocol is "TLS" (from --kafka-security-protocol); '
            "it must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL.",
        ),
        (
            [],
            {"VITALWATCH_MONITORING_PORT": "70000"},
            'Setting monitoring.port is "70000" (from VITALWATCH_MONITORING_PORT); '
            "it must be a whole number of at least 0 and at most 65535.",
        ),
        (
            ["--alarms-budget", "nan"],
            {},
            'Setting alarms.budget is "nan" (from --alarms-budget); '
            "it must be a number above 0 and at most 1000.",
        ),
        (
            ["--kafka-bootstrap", "broker"],
            {},
            'Setting kafka.bootstrap is "broker" (from --kafka-bootstrap); '
            "it must be HOST:PORT, several with commas between.",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_origin_and_what_is_allowed(
    words: list[str], environ: dict[str, str], expected: str
) -> None:
    assert refused(*words, environ=environ) == expected


def test_a_number_in_quotes_in_the_file_is_refused_with_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[daemon]\nmax_records = "5"\n')
    assert refused("--config", str(path)) == (
        f'Setting daemon.max_records is "5" (from {path} [daemon] max_records); '
        "it must be a whole number of at least 1 and at most 100000."
    )


@pytest.mark.parametrize("value", ["icu\udcff", "icu\n", "ïcu", ""])
def test_a_prefix_of_other_letters_is_refused(value: str) -> None:
    assert "topics.prefix" in refused("--topics-prefix", value)


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "a text in UTF-8 that is not empty" in refused("--daemon-group", "icu\udcff")
    assert "kafka.username" in refused(environ={"VITALWATCH_KAFKA_USERNAME": "\udcff"})


@pytest.mark.parametrize("value", ["inf", "nan", "1e400"])
def test_numbers_that_are_not_finite_are_refused(value: str) -> None:
    assert "alarms.stale_seconds" in refused("--alarms-stale-seconds", value)


def test_spans_of_time_that_no_clock_can_count_are_refused() -> None:
    assert "at most 86400" in refused("--alarms-stale-seconds", "1e300")
    assert "at most 8760" in refused("--alarms-discharge-hours", "1e300")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[kafak]\n", "[kafak] is no section of the settings; did you mean kafka?"),
        ("[kafka]\nbotstrap = 'a:1'\n", "[kafka] botstrap is no setting; did you mean bootstrap?"),
        ("[scores]\nzzz = 1\n", "[scores] zzz is no setting; there are: emit."),
        ("kafka = 1\n", "kafka is a section; write [kafka]."),
        ("[kafka\n", "is not valid TOML"),
    ],
)
def test_a_faulty_file_is_refused_with_a_suggestion(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    message = refused("--config", str(path))
    assert expected in message
    assert str(path) in message
    assert not message.endswith("?.")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused("--config", str(tmp_path / "none.toml"))


def test_a_nearly_right_variable_is_refused_and_a_foreign_one_is_not() -> None:
    message = refused(environ={"VITALWATCH_KAFKA_BOOTSTRP": "a:1"})
    assert "did you mean VITALWATCH_KAFKA_BOOTSTRAP?" in message
    kubernetes = {"VITALWATCH_SERVICE_HOST": "10.0.0.1", "VITALWATCH_PORT_9108_TCP_PORT": "9108"}
    assert config.load(arguments(), kubernetes) == config.Settings()


def test_login_without_a_password_is_refused() -> None:
    message = refused("--kafka-security-protocol", "SASL_SSL", "--kafka-username", "vw")
    assert "set VITALWATCH_KAFKA_PASSWORD" in message


def test_a_certificate_without_its_key_is_refused() -> None:
    assert "kafka.key_file" in refused("--kafka-cert-file", "client.pem")


def test_what_is_shown_is_a_file_that_gives_the_same_settings(tmp_path: Path) -> None:
    resolved = config.resolve(arguments("--alarms-budget", "0.25", "--daemon-instance", 'a"b\\'))
    path = tmp_path / "shown.toml"
    path.write_text(config.show(resolved))
    again = config.resolve(arguments("--config", str(path)), {})
    assert again.settings == resolved.settings


def test_secrets_are_masked_and_have_no_flag() -> None:
    secret = {"VITALWATCH_KAFKA_PASSWORD": "hunter2"}
    shown = config.show(config.resolve(arguments(), secret), origin=True)
    assert "hunter2" not in shown
    # As a comment, or a file that is made of this would log in with the mask.
    assert f'\n# password = "{config.MASK}"  # VITALWATCH_KAFKA_PASSWORD' in shown
    with pytest.raises(SystemExit):
        arguments("--kafka-password", "hunter2")


def test_origins_are_shown(file: Path) -> None:
    resolved = config.resolve(
        arguments("--config", str(file), "--topics-prefix", "t"),
        {"VITALWATCH_SCORES_EMIT": "none"},
    )
    shown = config.show(resolved, origin=True)
    assert 'prefix = "t"  # --topics-prefix' in shown
    assert 'emit = "none"  # VITALWATCH_SCORES_EMIT' in shown
    assert f"budget = 2.0  # {file} [alarms] budget" in shown
    assert "max_records = 5000  # default" in shown


def test_every_default_is_itself_allowed(tmp_path: Path) -> None:
    path = tmp_path / "defaults.toml"
    path.write_text(config.show(config.resolve(argparse.Namespace(), {})))
    assert config.load(arguments("--config", str(path)), {}) == config.Settings()
    assert set(tomllib.loads(path.read_text())) == set(config.SECTIONS)


def test_help_shows_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--kafka-bootstrap" in text
    assert "[env: VITALWATCH_KAFKA_BOOTSTRAP] [default: 127.0.0.1:9092]" in text


def test_topics_names_come_from_the_prefix() -> None:
    topics = config.Topics(prefix="ward7")
    assert topics.readings == "ward7.readings"
    assert topics.dead_letters == "ward7.dead-letters"


def test_a_command_may_have_one_flag_of_a_section() -> None:
    parser = argparse.ArgumentParser()
    config.add_flags(parser, "kafka", "daemon.group")
    given = parser.parse_args(["--daemon-group", "icu"])
    assert config.load(given, {}).daemon.group == "icu"
    with pytest.raises(SystemExit):
        parser.parse_args(["--daemon-max-records", "5"])
