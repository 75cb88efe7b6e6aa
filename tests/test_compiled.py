"""What is compiled and kept on disk: found again, but not when what is built in has changed."""

import subprocess
import sys
from pathlib import Path

import pytest

RULES = """
import math
from vitalwatch.compiled import compiled

LIMIT = {limit}

@compiled
def more(number):
    return number + {more}

@compiled
def rounded(number):
    return math.{way}(number / 2)
"""

USE = """
from rules import LIMIT, more, rounded
from vitalwatch.compiled import compiled

@compiled
def use(number):
    return inner(number)

@compiled
def inner(number):
    return {call}

print(use(1))
"""

NAMES = """
import sys, vitalwatch.detector, vitalwatch.stream.daemon, vitalwatch.stream.kafka

for module in sorted(name for name in sys.modules if name.startswith("vitalwatch")):
    for name, value in sorted(vars(sys.modules[module]).items()):
        if hasattr(value, "py_func"):
            print(module, name, value.py_func.__qualname__)
"""


def output(*arguments: str, folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment or None,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("call", "first", "second"),
    [("more(number)", "2", "101"), ("number * LIMIT", "1", "10"), ("rounded(number)", "0", "1")],
)
def test_a_change_of_what_another_file_holds_is_not_missed(
    tmp_path: Path, call: str, first: str, second: str
) -> None:
    (tmp_path / "use.py").write_text(USE.format(call=call))
    for limit, more, way, expected in ((1, 1, "floor", first), (10, 100, "ceil", second)):
        (tmp_path / "rules.py").write_text(RULES.format(limit=limit, more=more, way=way))
        assert output("use.py", folder=tmp_path) == expected


def test_the_next_process_finds_what_this_one_compiled() -> None:
    seen = {output("-c", NAMES, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert len(seen) == 1
    assert seen.pop().count("\n") > 10
