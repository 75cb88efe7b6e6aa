"""The program that is measured: ``vitalwatch run`` as a process, with its default settings."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.benchmarks import machine
from tests.benchmarks.cluster import Cluster

STOP_SECONDS = 20.0


class Worker:
    """A daemon of ``group`` on the topics of ``prefix``; use it as a context.

    ``port`` is that of its metrics, by default a free one; by it a worker is known after a crash.
    """

    def __init__(
        self,
        cluster: Cluster,
        prefix: str,
        group: str,
        folder: Path,
        *flags: str,
        port: int = 0,
    ) -> None:
        command = [
            *(sys.executable, "-m", "vitalwatch.commands.main", "run"),
            *("--kafka-bootstrap", cluster.address, "--topics-prefix", prefix),
            *("--daemon-group", group),
            *("--monitoring-port", str(port), "--monitoring-log-format", "json", *flags),
        ]
        self._log = folder / f"daemon-{time.monotonic_ns()}.log"
        self.began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def check(self) -> None:
        """Raise if it has ended, with what it said last."""
        if self._process.poll() is not None:
            said = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the daemon ended with {self._process.returncode}: {said}")

    def wait_until_ready(self, seconds: float = 60.0) -> float:
        """Wait until it holds partitions and their state; seconds since its start."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            url = self._logged("metrics and health are served", "url")
            if url and self._logged("partition taken over", "partition") is not None:
                state = json.loads(_get(f"{url}/readyz"))
                if state["ready"]:
                    return time.monotonic() - self.began
            if time.monotonic() > deadline:
                raise TimeoutError(f"the daemon is not ready after {seconds:.0f} s")
            time.sleep(0.05)

    def wait_until_counted(self, readings: int, seconds: float = 10.0) -> int:
        """Wait until its metrics have so many readings, all scored or late; how many were late.

        They follow the commit. Raises RuntimeError where the numbers do not come to agree.
        """
        deadline = time.monotonic() + seconds
        while True:
            figures = self.figures()
            scored = figures["vitalwatch_readings_scored_total"]
            late = figures["vitalwatch_readings_late_total"]
            if scored + late == readings:
                return round(late)
            if time.monotonic() > deadline:
                raise RuntimeError(f"of {readings} readings {scored} were scored, {late} late")
            time.sleep(0.05)

    def figures(self) -> dict[str, float]:
        """Its metrics now, those without labels, and the sums of the others."""
        url = self._logged("metrics and health are served", "url")
        figures: dict[str, float] = {}
        for line in _get(f"{url}/metrics").decode().splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(maxsplit=1)
                name = name.partition("{")[0]
                figures[name] = figures.get(name, 0.0) + float(value)
        return figures

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return machine.cpu_seconds(self.pid)

    def memory(self) -> int:
        """Bytes of memory now."""
        return machine.memory(self.pid)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def _logged(self, message: str, field: str) -> Any:
        for line in self._log.read_text(errors="replace").splitlines():
            if f'"{message}"' in line:
                return json.loads(line).get(field)
        return None


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:  # not ready is an error of HTTP, with a body
        return error.read()
    return body
