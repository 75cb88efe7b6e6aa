import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import llvmlite.binding as llvm
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


def test_an_interrupt_that_finds_the_compiler_calling_back_ends_quietly_too(
    running: Callable[[Callable[[], int]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    reached = []

    def called_back(_module: object, _compiled: bytes) -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("its end")

    def body() -> int:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        module = llvm.parse_assembly("define void @f() { ret void }")
        machine = llvm.Target.from_default_triple().create_target_machine()
        with llvm.create_mcjit_compiler(module, machine) as engine:
            engine.set_object_cache(notify_func=called_back)
            engine.finalize_object()
            reached.append("what follows")
            threading.Event().wait(60)
        return 0

    assert running(body) == 130
    assert reached[:1] == ["its end"]
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_is_ignored_where_it_was_ignored(
    running: Callable[[Callable[[], int]], int],
) -> None:
    def body() -> int:
        signal.raise_signal(signal.SIGINT)
        return 7

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert running(body) == 7
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_defect_is_not_hidden(running: Callable[[Callable[[], int]], int]) -> None:
    def body() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        running(body)


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        entry.main([])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["run", "--kafka-botstrap", "a:1"],
            "`vitalwatch run` takes no --kafka-botstrap: did you mean --kafka-bootstrap? "
            "See `vitalwatch run --help`.",
        ),
        (["score", "a.csv", "-o", "out", "--zzz=1"], "see `vitalwatch score --help`."),
        (["version", "please"], "`vitalwatch version` takes no please: see"),
    ],
)
def test_what_a_command_does_not_take_is_named_with_what_may_have_been_meant(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


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


PROGRAM = "import sys; from vitalwatch.commands.main import main; sys.exit(main())"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("command", ["schema", "version", "config show"])
def test_a_full_disk_is_one_sentence(command: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("vitalwatch: No more can be written")
    assert done.stderr.count("\n") == 1


def test_without_an_output_nothing_fails() -> None:
    script = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(PROGRAM)} schema >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", script], check=False).returncode == 0


def test_version_names_what_results_depend_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["version"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["vitalwatch", "python", "numba", "numpy", "torch", "kafka-python", "msgspec"]
