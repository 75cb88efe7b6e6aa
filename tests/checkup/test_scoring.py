from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from vitalwatch import config
from vitalwatch.checkup import libraries, scoring
from vitalwatch.checkup.finding import Finding
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.readings import Detection, Readings


def by_check(findings: Iterator[Finding]) -> dict[str, Finding]:
    found = {}
    for finding in findings:
        assert finding.check not in found
        found[finding.check] = finding
    return found


def test_a_sound_machine_has_no_fault() -> None:
    found = by_check(scoring.check(config.Settings(), 1000))
    assert list(found) == [
        "processor",
        "model",
        "scoring",
        "compiled loops",
        "batch invariance",
        "memory",
    ]
    assert {finding.status for finding in found.values()} == {"ok"}
    assert checkpoint.load().fingerprint in found["model"].text
    assert " from disk, " in found["compiled loops"].text


def test_the_libraries_are_named_with_their_versions() -> None:
    found = by_check(libraries.check())
    assert {finding.status for finding in found.values()} == {"ok"}
    for name in ("torch", "numba", "kafka-python"):
        assert f"{name} " in found["libraries"].text
    assert "in bulk" in found["kafka client"].text


class Wobbly(Detector):
    """On a machine where the last bit of a score depends on the size of the batch."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        (detection,) = super().process(batch)
        if len(detection.late) == 9:
            detection.rarity[4] = np.nextafter(detection.rarity[4], np.float32(np.inf))
        return [detection]


def test_a_build_whose_bits_depend_on_the_batch_is_a_fault() -> None:
    model = checkpoint.load()
    finding = scoring.invariance(lambda: Wobbly(model, config.Alarms()))
    assert finding.status == "fault"
    assert not finding.configuration
    assert "in batches of 9 readings" in finding.text
    assert "another version of numba" in finding.fix


@pytest.mark.parametrize("damage", [b"", b"no model", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_model_file_is_a_fault_of_configuration(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damage)
    settings = config.Settings(model=config.Model(path=str(path)))
    found = by_check(scoring.check(settings, 1000))
    assert list(found) == ["processor", "model"]
    assert (found["model"].status, found["model"].configuration) == ("fault", True)
    assert "vitalwatch train" in found["model"].text


def test_memory_is_that_of_the_table_while_it_grows() -> None:
    # 100 patients: 64 rows become 128, and for a moment there are both.
    assert scoring.memory(1000, 100, 200_000).status == "ok"
    finding = scoring.memory(1000, 100, 150_000)
    assert finding.status == "warning"
    assert "192 kB, and 150 kB are free" in finding.text
    assert "workers" in finding.fix
    assert "free" not in scoring.memory(1000, 100, None).text


def test_loops_that_cannot_be_kept_on_disk_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stats:
        cache_path = None
        cache_hits: dict[str, int] = {}  # noqa: RUF012
        cache_misses: dict[str, int] = {}  # noqa: RUF012

    class Loop:
        stats = Stats

    monkeypatch.setattr(scoring, "_loops", lambda: [Loop])
    found = by_check(scoring.scored(checkpoint.load(), config.Settings()))
    assert found["compiled loops"].status == "warning"
    assert "NUMBA_CACHE_DIR" in found["compiled loops"].fix
