"""Python, the libraries, and whether they are the ones that make reading from Kafka cheap."""

import importlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from typing import Final

from vitalwatch.checkup.finding import Finding, fault, ok, warning

OLDEST_PYTHON: Final = (3, 11)
NEEDED: Final = ("kafka-python", "msgspec", "numba", "numpy", "prometheus-client", "rich", "torch")
_INSTALL: Final = "pip install vitalwatch"


def check() -> Iterator[Finding]:
    """Python, the libraries' versions, Kafka's client, checksums and codecs."""
    cores = os.cpu_count()
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {cores} cores"
    if sys.version_info >= OLDEST_PYTHON:
        yield ok("python", text)
    else:
        yield fault("python", text, f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or later")
    versions, missing = [], []
    for name in NEEDED:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield fault("libraries", f"not installed: {', '.join(missing)}", _INSTALL)
    if versions:
        yield ok("libraries", ", ".join(versions))
    yield from _checksums()
    yield from _client()


def _checksums() -> Iterator[Finding]:
    try:
        from crc32c import hardware_based
    except Exception as error:  # whatever a broken installation raises
        text = f"crc32c cannot be imported ({type(error).__name__}: {error})"
        yield fault("checksums", text, "pip install crc32c")
        return
    if hardware_based:
        yield ok("checksums", "crc32c is computed by the processor")
    else:
        yield warning(
            "checksums",
            "crc32c is computed in software, so that reading from Kafka costs more",
            "use a processor with SSE 4.2 or ARMv8 CRC, and a build of crc32c for it",
        )


def _client() -> Iterator[Finding]:
    try:
        from vitalwatch.stream.kafka_batches import KNOWN
    except Exception as error:  # whatever a broken installation raises
        yield fault(
            "kafka client", f"cannot be imported ({type(error).__name__}: {error})", _INSTALL
        )
        return
    version = importlib.metadata.version("kafka-python")
    if KNOWN[0] <= tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < KNOWN[1]:
        yield ok("kafka client", f"kafka-python {version}: records are read in bulk")
    else:
        oldest, newer = (".".join(map(str, each)) for each in KNOWN)
        yield warning(
            "kafka client",
            f"kafka-python {version} is not known, so records are read one by one, which costs "
            "several times as much",
            f"pip install 'kafka-python>={oldest},<{newer}'",
        )
    codec = importlib.import_module("kafka.codec")
    absent = [name for name in ("snappy", "lz4", "zstd") if not getattr(codec, f"has_{name}")()]
    text = "gzip, snappy, lz4 and zstd can be read"
    if absent:
        text = (
            f"what producers compress with {' or '.join(absent)} cannot be read here; if any do: "
            f"pip install 'kafka-python[{','.join(absent)}]'"
        )
    yield ok("compression", text)
