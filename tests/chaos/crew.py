"""Workers as processes: started, armed with traps, killed, frozen, and looked after."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.chaos.worker import TRAP
from vitalwatch import config

SECONDS: Final = 60.0
ROOT: Final = Path(__file__).parents[2]

_STARTED: Final = '"message":"started"'

# Children are forked, which threads of a mathematical library would not survive; one is enough.
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Unexpected(AssertionError):  # noqa: N818 - what it says is what was seen
    """Something happened, or did not, that no fault explains."""


@dataclass(eq=False)
class Worker:
    """One process; ``code`` when it has ended. ``instance`` is its stable name, if it has one.

    ``allowed`` are the exit codes that are no surprise.
    """

    name: str
    instance: str
    log: Path
    pid: int = 0
    frozen: bool = False
    code: int | None = None
    allowed: set[int] = field(default_factory=set)

    def said(self, word: str) -> list[str]:
        """Lines of its log with this in them."""
        if not self.log.exists():
            return []
        return [line for line in self.log.read_text().splitlines() if word in line]

    def last_words(self, count: int = 12) -> str:
        """The end of its log."""
        lines = self.said("")[-count:]
        return "\n".join(f"  {self.name}: {line}" for line in lines)


class Nursery:
    """The process that workers are forked from; see :mod:`tests.chaos.nursery`."""

    def __init__(self, folder: Path) -> None:
        """It logs to ``folder``."""
        self._log = folder / "nursery.log"
        self._workers: dict[int, Worker] = {}  # by pid, those that live
        self._starting: dict[str, Worker] = {}  # by name
        self.changed = threading.Condition()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.nursery"],
                cwd=ROOT,
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl+C is for us, and we end it
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._listener.join(SECONDS)
        self._process.stdout.close()

    def start(self, worker: Worker, **order: Any) -> None:
        """Fork a worker; its ``pid`` comes later."""
        self._starting[worker.name] = worker
        self._order(name=worker.name, log=str(worker.log), **order)

    def signal(self, worker: Worker, number: int) -> None:
        """Send a signal; nobody gets it if the worker has ended."""
        self._order(pid=worker.pid, signal=number)

    def look(self) -> None:
        """Raise Unexpected if it has ended."""
        if self._process.poll() is not None:
            raise Unexpected(f"the nursery of workers has ended:\n{self._log.read_text()}")

    def _order(self, **order: Any) -> None:
        self.look()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self.changed:
                if told["event"] == "started":
                    worker = self._starting.pop(told["name"])
                    worker.pid = told["pid"]
                    self._workers[worker.pid] = worker
                elif told["event"] == "frozen":
                    self._workers[told["pid"]].frozen = True
                else:
                    self._workers.pop(told["pid"]).code = told["code"]
                self.changed.notify_all()


class Crew:
    """All workers of one run, living and dead."""

    def __init__(self, nursery: Nursery, folder: Path, settings: config.Settings) -> None:
        """Logs go to ``folder``; ``settings`` are those of all workers."""
        self._nursery = nursery
        self._folder = folder
        self._settings = settings
        self.workers: list[Worker] = []

    @property
    def living(self) -> list[Worker]:
        """Those who have not ended; they may be frozen."""
        return [worker for worker in self.workers if worker.code is None]

    def start(self, instance: str = "", trap: Mapping[str, Any] | None = None) -> Worker:
        """Start a worker, with a stable name or without."""
        name = f"{self._settings.topics.prefix}-{len(self.workers):03d}{instance and '-'}{instance}"
        worker = Worker(name, instance, self._folder / f"{name}.log")
        self._allow(worker, trap)
        self.workers.append(worker)
        arguments = _flags(self._settings)
        if instance:
            arguments += ["--daemon-instance", instance]
        state = self._settings.topics.state
        named = {"arguments": arguments, "trap": trap, "next": str(_next(worker)), "state": state}
        self._nursery.start(worker, **named)
        self.wait_for(lambda: worker.pid, f"{name} does not start")
        return worker

    def arm(self, worker: Worker, trap: Mapping[str, Any]) -> None:
        """Lay a trap for a living worker."""
        self._allow(worker, trap)
        _next(worker).write_text(json.dumps(dict(trap)))
        self._nursery.signal(worker, signal.SIGUSR1)

    def caught(self, worker: Worker, seconds: float = SECONDS) -> None:
        """Wait until a worker's trap has had its effect, or begun to if it is a sleep."""
        missed = f"{worker.name} is never caught in its trap"
        self.wait_for(lambda: worker.said(TRAP), missed, seconds)
        action = json.loads(worker.said(TRAP)[-1].removeprefix(TRAP))["action"]
        if action == "kill":
            self.wait_for(lambda: worker.code is not None, f"{worker.name} does not end")
        elif action == "freeze":
            self.wait_for(lambda: worker.frozen, f"{worker.name} does not freeze")

    def kill(self, worker: Worker) -> None:
        """Kill -9, and wait for the end."""
        worker.allowed.add(-signal.SIGKILL)
        self._nursery.signal(worker, signal.SIGKILL)
        self.wait_for(lambda: worker.code is not None, f"{worker.name} does not end")

    def freeze(self, worker: Worker) -> None:
        """SIGSTOP."""
        self._nursery.signal(worker, signal.SIGSTOP)
        self.wait_for(lambda: worker.frozen or worker.code is not None, "SIGSTOP does not stop")

    def wake(self, worker: Worker) -> None:
        """SIGCONT."""
        worker.frozen = False
        self._nursery.signal(worker, signal.SIGCONT)

    def stop(self, worker: Worker) -> None:
        """SIGTERM, which it has to follow in good order once it has started."""
        worker.allowed.add(0)
        if not worker.said(_STARTED):
            worker.allowed.add(-signal.SIGTERM)
        self._nursery.signal(worker, signal.SIGTERM)
        self.wait_for(lambda: worker.code is not None, f"{worker.name} does not stop")

    def close(self) -> None:
        """Kill who is left."""
        for worker in self.living:
            self.kill(worker)

    def look(self) -> None:
        """Raise Unexpected for a worker that ended in a way that nobody asked for."""
        for worker in self.workers:
            if worker.code is not None and worker.code not in worker.allowed:
                why = f"{worker.name} ended by itself ({worker.code})"
                raise Unexpected(f"{why}:\n{worker.last_words()}")

    def wait_for(self, done: Callable[[], Any], otherwise: str, seconds: float = SECONDS) -> None:
        """Wait until it is so; raise Unexpected with ``otherwise`` where it never is."""
        end = time.monotonic() + seconds
        while not done():
            self._nursery.look()
            self.look()
            if time.monotonic() > end:
                raise Unexpected(f"{otherwise}, within {seconds:.0f} s")
            with self._nursery.changed:
                self._nursery.changed.wait(0.02)
        self.look()

    def _allow(self, worker: Worker, trap: Mapping[str, Any] | None) -> None:
        if trap is not None and trap["action"] == "kill":
            worker.allowed.add(-signal.SIGKILL)


def _flags(settings: config.Settings) -> list[str]:
    """The command line that gives these settings."""
    return [
        word
        for setting in config.SETTINGS
        if (value := getattr(getattr(settings, setting.section), setting.name)) != setting.default
        for word in (setting.flag, str(value))
    ]


def _next(worker: Worker) -> Path:
    """The file that the worker's next trap is laid in."""
    return worker.log.with_suffix(".trap")
