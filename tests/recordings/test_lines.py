import io
from pathlib import Path

import pytest

from vitalwatch.errors import RecordingError
from vitalwatch.recordings import lines
from vitalwatch.recordings.recording import Recording
from vitalwatch.recordings.topic_file import TopicFile


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\r\n\n b\nc", "\n"])
def test_lines_are_those_of_the_file(text: str) -> None:
    assert list(lines.lines_of(io.StringIO(text, newline=""))) == text.splitlines(keepends=True)
    data = text.encode()
    assert list(lines.lines_of(io.BytesIO(data))) == list(io.BytesIO(data))


@pytest.mark.parametrize("beginning", ["time,patient,hr\n1,a,", '{"time": 1}\n{"', ""])
def test_a_file_without_line_breaks_is_refused_and_not_read_whole(
    beginning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 100_000)
    file = tmp_path / "endless"
    file.write_text(beginning + "7" * 10_000_000)
    with (
        pytest.raises(RecordingError, match=r"endless.* line \d is longer"),
        Recording(file).stream(),
    ):
        pass


def test_a_recorded_topic_without_line_breaks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 100_000)
    file = tmp_path / "endless"
    file.write_bytes(b"\0" * 1_000_000)
    with pytest.raises(RecordingError, match="endless, line 1 is longer"):
        TopicFile([file])
