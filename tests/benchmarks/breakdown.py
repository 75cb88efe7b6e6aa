"""Where the time of a reading goes: the daemon's stacks, sampled from outside while it works.

A thread that waits is often taken for one that works. So each thread's samples share what
processor time the system says that thread has used, and those in which it waits count nothing.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.benchmarks import machine
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure

COMMIT: Final = "publish and commit"
_WRITERS: Final = ("stream/kafka_writers.py", "/kafka/producer/")
STAGES: Final = (
    # The first that one of a stack's frames has, from the innermost frame outwards.
    (COMMIT, _WRITERS),
    ("encoding", ("stream/score_blocks.py", "stream/outputs.py", "alarms/wording.py")),
    ("snapshots", ("stream/recovery.py", "stream/snapshots.py", "/snapshot.py")),
    ("decode", ("stream/decode.py", "stream/plain_json.py", "stream/plain_readings.py")),
    ("network and evidence", ("/scoring/",)),  # one compiled loop, so one frame
    ("alarms", ("/alarms/", "/clock.py")),
    ("look-up and rounds", ("/detector.py", "/state.py", "/rounds.py", "/register.py")),
    ("fetch and parse", ("stream/kafka", "/kafka/")),
    ("metrics and health", ("/monitoring/", "prometheus_client", "socketserver.py")),
)
OTHER: Final = "loop and the rest"

_WAITING: Final = ("/selectors.py", "/threading.py", "concurrent/futures/thread.py", "/queue.py")
_RATE: Final = 250
_HOTTEST: Final = 15


def measure(context: Context) -> list[Figure]:
    """µs of processor time a reading, by stage; needs py-spy and the right to look inside."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        context.say("py-spy is not installed, so no profile: pip install -e '.[bench]'")
        return []
    patients = context.size.patients[0]
    prefix = context.topic(patients, context.size.readings)
    cluster = context.cluster
    topic = cluster.make_topics(prefix).readings
    cluster.empty_outputs(prefix)
    ends, group = cluster.ends(topic), context.name("profile")
    raw = context.folder / f"{group}.raw"
    context.say("profile")
    with context.worker(prefix, group) as worker:
        while not (begun := sum(cluster.committed(group, topic).values())):
            worker.check()
        options = ["--format", "raw", "--rate", str(_RATE), "--full-filenames", "--threads"]
        asked = [spy, "record", "--pid", str(worker.pid), "--output", str(raw), *options]
        watching = subprocess.Popen(
            [*asked, "--duration", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        before = machine.thread_seconds(worker.pid)
        cluster.follow(group, topic, ends, worker.check)
        after = machine.thread_seconds(worker.pid)
        watching.send_signal(signal.SIGINT)  # it writes what it has
        _, said = watching.communicate()
    if not raw.exists():
        context.say(f"py-spy could not look inside: {said.decode(errors='replace')[-300:]}")
        return []
    used = {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}
    each = 1e6 / (sum(ends.values()) - begun)
    text = raw.read_text()
    for frame, seconds in weighed(text, used).most_common(_HOTTEST):
        context.say(f"  {seconds * each:6.2f} µs in {frame}")
    return [
        Figure(f"of a reading: {stage}", [seconds * each], "µs")
        for stage, seconds in stages(text, used).items()
    ]


def stages(raw: str, used: Mapping[int, float]) -> dict[str, float]:
    """Seconds of each stage.

    ``raw`` are collapsed stacks (``thread (ID): name;frame;frame count``, the innermost last);
    ``used`` the processor time of each thread. What no stack tells of is the rest's.
    """
    found = {name: 0.0 for name, _ in STAGES} | {OTHER: 0.0}
    for stack, seconds in _stacks(raw, used):
        found[_stage(stack)] += seconds
    found[OTHER] += max(sum(used.values()) - sum(found.values()), 0.0)
    return found


def weighed(raw: str, used: Mapping[int, float]) -> Counter[str]:
    """Seconds in which each frame was the innermost."""
    found: Counter[str] = Counter()
    for stack, seconds in _stacks(raw, used):
        found[stack[-1]] += seconds  # type: ignore[assignment]  # mypy's counts are whole
    return found


def _stacks(raw: str, used: Mapping[int, float]) -> list[tuple[list[str], float]]:
    """Stacks of threads that work, each with its share of the thread's processor time."""
    samples: dict[int, list[tuple[list[str], int]]] = defaultdict(list)
    for line in raw.splitlines():
        text, _, count = line.rpartition(" ")
        thread, *stack = text.split(";")
        identity = re.match(r"thread \((\d+)\)", thread)
        if identity and stack and not any(part in stack[-1] for part in _WAITING):
            samples[int(identity[1])].append((stack, int(count)))
    weighted = []
    for thread_id, stacks in samples.items():
        total = sum(count for _, count in stacks)
        seconds = used.get(thread_id, 0.0)
        weighted += [(stack, seconds * count / total) for stack, count in stacks]
    return weighted


def _stage(stack: list[str]) -> str:
    # The client's network code serves both ways: who called it tells.
    if "/kafka/" in stack[-1] and any(part in frame for frame in stack for part in _WRITERS):
        return COMMIT
    for frame in reversed(stack):
        for name, parts in STAGES:
            if any(part in frame for part in parts):
                return name
    return OTHER
