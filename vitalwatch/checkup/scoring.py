"""The model, the compiled loops, and that a score has the same bits in any batch."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import llvmlite.binding
import numba
import numba.core.dispatcher
import numpy as np

from vitalwatch import config, vitals
from vitalwatch.arrays import Floats, Ints, Spans
from vitalwatch.checkup.finding import Finding, fault, ok, warning
from vitalwatch.detector import Detector
from vitalwatch.errors import CheckpointError
from vitalwatch.messages import SCHEMA_VERSION
from vitalwatch.model import checkpoint
from vitalwatch.model.checkpoint import Model
from vitalwatch.readings import Readings
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.detection import StreamDetector
from vitalwatch.stream.score_blocks import blocks

PATIENTS: Final = 131
STEPS: Final = 5
SIZES: Final = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 200)
_START: Final = 1_700_000_000_000
_READING: Final = (
    f'{{"v":{SCHEMA_VERSION},"patient":"p","time":{_START},"vitals":{{"hr":80,"spo2":97}}}}'
)
_FIRST_ROWS: Final = 64
"""A table of patients begins with so many rows, and doubles."""


def check(settings: config.Settings, patients: int) -> Iterator[Finding]:
    """The processor, the model, one reading scored, compiled loops, batch invariance, memory.

    ``patients`` is how many are to be held at once.
    """
    yield ok("processor", build())
    try:
        model = checkpoint.load(settings.model.path)
    except CheckpointError as error:
        yield fault("model", str(error))
        return
    yield ok("model", f"{model.fingerprint}, from {_named(settings.model.path)}")
    yield from scored(model, settings)
    yield invariance(lambda: Detector(model, settings.alarms))
    yield memory(Detector(model, settings.alarms).row_bytes, patients, available_bytes())


def build() -> str:
    """What the loops are compiled by and for, as far as it is known to matter."""
    llvm = ".".join(map(str, llvmlite.binding.llvm_version_info))
    return f"{llvmlite.binding.get_host_cpu_name()}, numba {numba.__version__}, LLVM {llvm}"


def scored(model: Model, settings: config.Settings) -> Iterator[Finding]:
    """One reading goes the whole way; and how long the compiled loops took to be ready."""
    began = time.perf_counter()
    detector = Detector(model, settings.alarms)
    source = TopicPartition("doctor", 0)
    batch = RecordBatch.of(source, [0], [_START], [b"p"], [_READING.encode()], [()], 1)
    readings = Decoder().decode(batch).readings
    (detection,) = detector.process([readings])
    written = list(blocks(readings, detection, model.fingerprint, "block"))
    seconds = time.perf_counter() - began
    if len(written) == 1 and np.isfinite(detection.rarity).all():
        yield ok("scoring", f"a reading is scored: once in {detection.rarity[0]:.3g} patient-days")
    else:
        yield fault(
            "scoring",
            "a plain reading gets no score: the model's file, or this installation, is broken",
            "try without --model-path; install again",
            configuration=False,
        )
    yield _compiled(seconds)


def _compiled(seconds: float) -> Finding:
    """How the loops over readings came to be compiled."""
    loops = _loops()
    fresh = sum(sum(loop.stats.cache_misses.values()) for loop in loops)
    kept = sum(sum(loop.stats.cache_hits.values()) for loop in loops)
    homeless = [loop for loop in loops if loop.stats.cache_path is None]
    if homeless:
        return warning(
            "compiled loops",
            f"ready in {seconds:.1f} s; they cannot be kept on disk, so every start compiles anew",
            "set NUMBA_CACHE_DIR to a folder that may be written to",
        )
    folder = os.path.commonpath([loop.stats.cache_path for loop in loops])
    return ok(
        "compiled loops",
        f"ready in {seconds:.1f} s: {kept} from disk, {fresh} compiled now; kept below {folder}",
    )


def _loops() -> list[Any]:
    """All compiled functions of this package that have run."""
    found = {
        id(each): each
        for name, module in list(sys.modules.items())
        if name.startswith("vitalwatch.")
        for each in vars(module).values()
        if isinstance(each, numba.core.dispatcher.Dispatcher) and each.signatures
    }
    return list(found.values())


def invariance(detector: Callable[[], StreamDetector]) -> Finding:
    """Whether a patient's scores are the same bits however readings are cut and ordered.

    ``detector`` makes one without any state.
    """
    order = np.arange(PATIENTS * STEPS)
    expected = _scores(detector(), order, len(order))
    shuffle = np.random.default_rng(0)
    for size in SIZES:
        steps = [step * PATIENTS + shuffle.permutation(PATIENTS) for step in range(STEPS)]
        found = _scores(detector(), np.concatenate(steps), size)
        if not np.array_equal(found, expected):
            return fault(
                "batch invariance",
                f"in batches of {size} readings scores have other bits than in one of "
                f"{len(order)}: on this machine a replay need not give the same alerts",
                f"install another version of numba, and report this one ({build()})",
                configuration=False,
            )
    digest = hashlib.blake2b(expected.astype("<i4").tobytes(), digest_size=4).hexdigest()
    return ok(
        "batch invariance",
        f"{len(order)} scores have the same bits in batches of {SIZES[0]} to {len(order)}, in any "
        f"order and position: {digest}, with this model and version on every machine",
    )


def _scores(detector: StreamDetector, order: Ints, size: int) -> Ints:
    """The bits of all that is scored, a row a reading by patient and step.

    ``order`` lists readings by number, that of step and patient; ``size`` readings make a batch.
    """
    values = _values()
    bits = np.empty((len(order), 1 + 4 * vitals.COUNT), dtype=np.int64)
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        readings = Readings(
            "doctor",
            0,
            Spans.of(f"patient {number % PATIENTS}" for number in part.tolist()),
            _START + part // PATIENTS * 5000,
            values[part],
            np.arange(begin, begin + len(part)),
        )
        (detection,) = detector.process([readings])
        tables = (detection.surprise, detection.expected, detection.low, detection.high)
        bits[part] = np.column_stack((detection.rarity, *tables)).view(np.int32)
    return bits


def _values() -> Floats:
    """Vital signs of all patients at all steps, some of them not measured."""
    chance = np.random.default_rng(1)
    low, high = vitals.bounds("plausible")
    count = PATIENTS * STEPS
    usual = low + (high - low) * chance.uniform(0.2, 0.8, (count, vitals.COUNT))
    usual[chance.random(usual.shape) < 0.2] = np.nan
    return usual.astype(np.float32)


def memory(row_bytes: int, patients: int, available: int | None) -> Finding:
    """What so many patients take at most, while their table grows, of what is available."""
    rows = _FIRST_ROWS
    while rows < patients:
        rows *= 2
    peak = row_bytes * (rows + rows // 2)
    text = f"{row_bytes:,} bytes a patient; {patients:,} patients take up to {_size(peak)}"
    if available is None:
        return ok("memory", text)
    text += f", and {_size(available)} are free"
    if peak > available:
        return warning("memory", text, "add memory, or workers: they share the patients")
    return ok("memory", text)


def available_bytes() -> int | None:
    """Memory that this process may still take; None where the system does not say."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append(int(limit) - int(used))
    except (OSError, LookupError, ValueError):
        pass
    return min(found, default=None)


def _size(count: float) -> str:
    """Bytes for a person."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"


def _named(path: str) -> str:
    return path or "this package"
