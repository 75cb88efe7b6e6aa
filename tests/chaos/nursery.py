"""Forks workers from one process that has imported everything: a start takes no time.

Run as a program it reads orders from standard input and tells what becomes of its children, a
JSON object a line each way. When its input ends, because whoever started it ended, however that
was, all children are killed, also those that are frozen.
"""

import contextlib
import json
import os
import select
import signal
import sys
import traceback
from typing import Any

from tests.chaos import worker

_LOOK_SECONDS = 0.02


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        code = worker.work(order)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _ended(children: set[int]) -> None:
    """Tell of children that ended or were frozen."""
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if found and os.WIFSTOPPED(status):
            _say(pid=pid, event="frozen")
        elif found:
            children.remove(pid)
            _say(pid=pid, event="ended", code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Serve until the input ends."""
    children: set[int] = set()
    orders = sys.stdin.fileno()
    pending = b""
    while True:
        if select.select([orders], [], [], _LOOK_SECONDS)[0]:
            data = os.read(orders, 1 << 16)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if "signal" in order:
                    if order["pid"] in children:
                        os.kill(order["pid"], order["signal"])
                else:
                    pid = _fork(order)
                    children.add(pid)
                    _say(pid=pid, event="started", name=order["name"])
        _ended(children)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
