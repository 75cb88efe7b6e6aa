"""Times that ``vitalwatch explain`` is asked for and that no recording has."""

from pathlib import Path

import pytest

from vitalwatch.commands.main import main


@pytest.mark.parametrize("time", ["1e30", "nan", "-inf", "0001-01-01T00:00:00+05:00", "noon"])
def test_a_time_that_is_none_is_refused_in_words(
    time: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,hr\n0,80\n1,81\n")
    assert main(["explain", str(path), f"--time={time}"]) == 2
    assert f"--time {time}: give it like" in capsys.readouterr().err
