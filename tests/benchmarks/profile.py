"""Where the time of a reading goes: the daemon's stacks, sampled from outside while it works."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure

STAGES: Final = (
    # The first that one of a stack's frames has, from the innermost frame outwards.
    ("commit", ("stream/kafka_writers.py",)),
    ("encoding", ("stream/score_blocks.py", "stream/outputs.py")),
    ("decode", ("stream/decode.py", "stream/plain_readings.py")),
    ("network", ("model/", "/torch/")),
    ("alarms", ("/alarms/",)),
    ("evidence", ("/scoring/",)),
    ("look-up", ("/detector.py", "/state.py")),
    ("fetch and parse", ("stream/kafka", "/kafka/")),
    ("metrics and health", ("/monitoring/", "prometheus_client")),
)
OTHER: Final = "loop and the rest"
_RATE: Final = 250


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
        begun = cluster.follow(group, topic, {0: 1}, worker.check).readings()[-1][1]
        options = ["--format", "raw", "--rate", str(_RATE), "--full-filenames"]
        asked = [spy, "record", "--pid", str(worker.pid), "--output", str(raw), *options]
        watching = subprocess.Popen(
            [*asked, "--duration", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        before = worker.cpu_seconds()
        cluster.follow(group, topic, ends, worker.check)
        used = worker.cpu_seconds() - before
        watching.send_signal(2)
        _, said = watching.communicate()
    if not raw.exists():
        context.say(f"py-spy could not look inside: {said.decode(errors='replace')[-300:]}")
        return []
    readings = sum(ends.values()) - begun
    shares = stages(raw.read_text())
    each = used / readings * 1e6
    context.say(f"  {each:.2f} µs of processor a reading")
    return [
        Figure(f"of a reading: {stage}", [share * each], "µs") for stage, share in shares.items()
    ]


def stages(raw: str) -> dict[str, float]:
    """The share of each stage in collapsed stacks (``frame;frame count``, innermost last)."""
    counts: Counter[str] = Counter({name: 0 for name, _ in STAGES})
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_stage(stack.split(";"))] += int(count)
    total = max(sum(counts.values()), 1)
    return {stage: count / total for stage, count in counts.items()}


def _stage(stack: list[str]) -> str:
    for frame in reversed(stack):
        for name, parts in STAGES:
            if any(part in frame for part in parts):
                return name
    return OTHER
