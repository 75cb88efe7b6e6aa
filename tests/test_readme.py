"""The README says only what works."""

import doctest
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest

from vitalwatch import config, messages
from vitalwatch.commands.main import COMMANDS
from vitalwatch.evaluation import card
from vitalwatch.model import checkpoint
from vitalwatch.stream import kafka
from vitalwatch.stream.broker import TopicPartition

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Commands of the console blocks, with the output that the README shows."""
    parts = [part for block in blocks("console") for part in re.split(r"^\$ ", block, flags=re.M)]
    return [
        (command, shown)
        for command, _, shown in (part.partition("\n") for part in parts)
        if command
    ]


@pytest.mark.parametrize(("command", "shown"), sessions())
def test_a_console_session_gives_the_output_shown(command: str, shown: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    matches = doctest.OutputChecker().check_output(shown, done.stdout, doctest.ELLIPSIS)
    assert matches, done.stdout


def test_the_commands_on_kafka_score_readings(kafka_address: str, tmp_path: Path) -> None:
    block = next(block for block in blocks("bash") if "topics create" in block)
    commands = [line.partition("#")[0].strip() for line in block.splitlines()]
    start, create, *background, watch = commands
    assert start == "deploy/kafka/start"  # what gives the address of the tests' own node
    assert all(command.endswith("&") for command in background)
    background = [command.partition("2>")[0] for command in background]
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VITALWATCH_KAFKA_BOOTSTRAP": kafka_address,
        "VITALWATCH_TOPICS_PREFIX": "readme",
        "VITALWATCH_MONITORING_PORT": "0",
    }
    subprocess.run(create.split(), cwd=tmp_path, env=environ, check=True, timeout=60)
    with ExitStack() as stack, (tmp_path / "log").open("wb") as log:
        for command in (*background, watch):
            process = subprocess.Popen(
                command.rstrip(" &").split(), cwd=tmp_path, env=environ, stdout=log, stderr=log
            )
            stack.callback(process.wait, 30)
            stack.callback(process.send_signal, signal.SIGINT)
        broker = stack.enter_context(closing(kafka.connect(config.Kafka(bootstrap=kafka_address))))
        scores = [TopicPartition("readme.scores", number) for number in range(8)]
        deadline = time.monotonic() + 60
        while not any(broker.bounds(source)[1] for source in scores):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.5)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_there_are_two_commands_of_one_line_on_the_first_screen() -> None:
    first_screen = "\n".join(README.splitlines()[:32])
    assert re.search(r"^python3 -m venv .* && \.venv/bin/vitalwatch demo$", first_screen, re.M)
    assert re.search(r"^python3 -m venv .* && \.venv/bin/pytest\b.*$", first_screen, re.M)


def test_every_reason_for_a_dead_letter_is_explained() -> None:
    for reason, meaning in messages.REJECTIONS.items():
        assert f"| `{reason}` | {meaning} |" in README


def test_every_command_is_in_the_overview() -> None:
    for command in set(COMMANDS) - {"version"}:
        assert f"`vitalwatch {command}" in README


def test_the_reading_shown_is_one() -> None:
    reading = msgspec.json.decode(blocks("json")[0], type=messages.Reading)
    assert reading.patient == "p17"


def test_the_topics_shown_are_the_settings() -> None:
    topics = config.Topics()
    for name in (topics.readings, topics.scores, topics.alerts, topics.dead_letters, topics.truth):
        assert f"| `{name}` |" in README


def test_every_path_named_exists() -> None:
    paths = re.findall(r"`((?:vitalwatch|deploy|tests|simulator|\.ci)/[\w./-]*)`", README)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("begin", [card.BEGIN, card.RECORDED])
def test_figures_of_alarms_are_those_of_the_model_card(begin: str) -> None:
    told = [
        text.partition(begin)[2].partition(card.END)[0]
        for text in (README, checkpoint.SHIPPED.with_suffix(".md").read_text())
    ]
    assert told[0] == told[1]
    assert told[0].count("|") > 10


def test_the_model_card_is_of_the_model_that_ships() -> None:
    assert checkpoint.load().fingerprint in checkpoint.SHIPPED.with_suffix(".md").read_text()
