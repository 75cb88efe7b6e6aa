import argparse
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from vitalwatch.commands import main as entry
from vitalwatch.errors import ConfigurationError, UsageError, VitalWatchError


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], int]], int]:
    """Run the command line with one command, ``it``, that does what a test says."""

    def run(body: Callable[[], int]) -> int:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers(required=True)
        commands.add_parser("it").set_defaults(run=lambda _: body())
        monkeypatch.setattr(entry, "parser", lambda: parser)
        return entry.main(["it"])

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigurationError("no"), 78), (UsageError("no"), 2), (VitalWatchError("no"), 1)],
)
def test_an_error_is_one_sentence_on_standard_error_and_an_exit_code(
    running: Callable[[Callable[[], int]], int],
    capsys: pytest.CaptureFixture[str],
    error: VitalWatchError,
    code: int,
) -> None:
    def body() -> int:
        raise error

    assert running(body) == code
    assert capsys.readouterr() == ("", "vitalwatch: no\n")


def test_an_interrupt_ends_quietly(
    running: Callable[[Callable[[], int]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise KeyboardInterrupt

    assert running(body) == 130
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden(running: Callable[[Callable[[], int]], int]) -> None:
    def body() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        running(body)


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        entry.main([])
    assert caught.value.code == 2


@pytest.mark.parametrize("command", entry.COMMANDS)
def test_every_command_explains_itself_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        entry.main([command, "--help"])
    assert caught.value.code == 0
    assert f"vitalwatch {command}" in capsys.readouterr().out


def test_help_loads_no_torch() -> None:
    program = (
        "import sys; from vitalwatch.commands import main; main.parser().format_help(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_closed_pipe_is_no_error() -> None:
    program = "import sys; from vitalwatch.commands.main import main; sys.exit(main())"
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, "config", "show"],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_version_names_what_results_depend_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["version"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["vitalwatch", "python", "numba", "numpy", "torch", "kafka-python", "msgspec"]
