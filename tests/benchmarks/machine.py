"""The cores that all of it runs on, and how much others use them meanwhile."""

import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_IDLE = (3, 4)  # the columns idle and iowait of /proc/stat


def allowed() -> set[int]:
    """The cores that this process may run on; none where a system cannot tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def pin(cores: Sequence[int], count: int = 2) -> list[int]:
    """Keep this process, and all that it starts from now on, to ``cores``; which these are.

    Without any, the ``count`` cores that are least busy just now. Where a system cannot pin,
    the list is empty.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    chosen = sorted(cores)
    if not chosen:
        allowed = sorted(os.sched_getaffinity(0))
        before = _busy(allowed)
        time.sleep(0.5)
        after = _busy(allowed)
        chosen = sorted(sorted(allowed, key=lambda core: after[core] - before[core])[:count])
    os.sched_setaffinity(0, chosen)
    return chosen


def description(cores: Sequence[int]) -> str:
    """What it is measured on, in one line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    pinned = f"all on cores {', '.join(map(str, cores))}" if cores else "not pinned to cores"
    return (
        f"{model}, {os.cpu_count()} cores, {pinned}; Python {platform.python_version()}, "
        f"numpy {np.__version__}, torch {torch.__version__}"
    )


@dataclass
class Foreign:
    """What others took of our cores: ``share`` of their time, from 0 to 1; None if unknown."""

    share: float | None = None


@contextmanager
def watched(cores: Sequence[int], others: Sequence[int] = ()) -> Iterator[Foreign]:
    """Measure what neither this process, its children, nor the processes ``others`` did on them.

    Children count when they have ended.
    """
    found = Foreign()
    if not cores or not Path("/proc/stat").exists():
        yield found
        return
    began, busy, own = time.monotonic(), sum(_busy(cores).values()), _own(others)
    yield found
    seconds = time.monotonic() - began
    foreign = sum(_busy(cores).values()) - busy - (_own(others) - own)
    found.share = min(max(foreign / (seconds * len(cores)), 0.0), 1.0)


def cpu_seconds(pid: int) -> float:
    """Processor time that a running process has used, without its children; 0 if it is gone."""
    return _used(Path(f"/proc/{pid}/stat"))


def thread_seconds(pid: int) -> dict[int, float]:
    """The same of each of its threads, by the system's number for it."""
    tasks = Path(f"/proc/{pid}/task")
    return {int(task.name): _used(task / "stat") for task in tasks.iterdir()}


def _used(stat: Path) -> float:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Bytes of memory that a running process holds; 0 where that cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a running process has held; 0 where that cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    told = [line.split() for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(told[0][1]) if told else 0


def free_memory() -> float:
    """Bytes that programs can still have; infinite where that cannot be told."""
    information = Path("/proc/meminfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return math.inf


def _busy(cores: Sequence[int]) -> dict[int, float]:
    """Seconds that each core has been busy."""
    busy = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores:
            # The first eight: the rest, time of guests, is in the first already.
            used = sum(int(ticks) for column, ticks in enumerate(fields[:8]) if column not in _IDLE)
            busy[int(name[3:])] = used / _TICKS
    return busy


def _own(others: Sequence[int]) -> float:
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return own + sum(cpu_seconds(pid) for pid in others)
