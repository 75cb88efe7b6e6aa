"""Which moment of a recording is explained, and what is said if there is no such moment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vitalwatch.errors import RecordingError, UsageError
from vitalwatch.explanation.moment import Moment, Wish, find
from vitalwatch.messages import Alert, Event, Kind, Origin
from vitalwatch.readings import Detection, Readings
from vitalwatch.recordings.recording import Recording
from vitalwatch.vitals import COUNT, INDEX

WARD = """patient,time,hr,temp
anna,0,80,
berta,0,70,
anna,60,90,
berta,60,75,
anna,120,100,37.5
berta,120,45,
anna,180,85,
"""


class Fake:
    """Scores a reading with its heart rate; below 50 it is a deterioration, above 99 a limit."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        (readings,) = batch
        hr = readings.values[:, INDEX["hr"]]
        alerts = [
            alert(readings, at, "deterioration" if hr[at] < 50 else "hr_high", "physiological")
            for at in np.flatnonzero((hr < 50) | (hr > 99)).tolist()
        ]
        blank = np.full((len(hr), COUNT), np.nan, dtype=np.float32)
        late = np.zeros(len(hr), dtype=np.bool_)
        return [Detection(late, hr, blank, blank, blank, blank, alerts)]


def alert(
    readings: Readings, at: int, condition: str, kind: Kind, event: Event = "raised"
) -> Alert:
    patient, time = readings.patients.texts()[at], int(readings.times[at])
    return Alert(
        alert_id=f"{patient}-{condition}",
        patient=patient,
        event=event,
        kind=kind,
        condition=condition,
        priority="medium",
        time=time,
        onset=time,
        rarity=None,
        drivers=[],
        sentence="",
        origin=Origin(readings.topic, 0, at),
        model="fake",
    )


def look(tmp_path: Path, text: str = WARD, wish: Wish | None = None) -> Moment:
    path = tmp_path / "ward.csv"
    path.write_text(text)
    return find(Recording(path), Fake, wish or Wish(), lambda _name, _total: lambda _done: None)


def test_it_is_the_first_alert_of_a_deterioration(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert (found.patient, found.course.times.tolist()) == ("berta", [0, 60_000, 120_000])
    assert found.alert is not None
    assert found.alert.condition == "deterioration"
    assert found.course.measured == ("hr",)


def test_without_one_it_is_where_the_score_is_highest(tmp_path: Path) -> None:
    found = look(tmp_path, wish=Wish(patient="anna"))
    assert found.course.times[-1] == 120_000
    assert found.alert is None
    assert "highest" in found.why


def test_a_time_is_that_of_the_last_reading_by_then(tmp_path: Path) -> None:
    found = look(tmp_path, wish=Wish(patient="anna", time=100_000))
    assert found.course.times.tolist() == [0, 60_000]


def test_an_alert_is_found_by_how_its_identity_begins(tmp_path: Path) -> None:
    found = look(tmp_path, wish=Wish(alert="anna-h"))
    assert (found.patient, found.course.times[-1]) == ("anna", 120_000)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(patient="carla"), "There is no patient 'carla'. ward.csv holds 2 patients: anna"),
        (Wish(time=0), "Name one with --patient"),
        (Wish(patient="anna", time=-1), "the patient's go from 1970-01-01T00:00:00.000Z to 1970"),
        (Wish(patient="anna", time=181_000), "there is no reading"),
        (Wish(alert="zz"), "No alert zz is raised in ward.csv (2 others are)"),
        (Wish(patient="anna", alert="berta"), "No alert berta"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, wish: Wish, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        look(tmp_path, wish=wish)
    assert sentence in str(error.value)


def test_two_alerts_that_begin_alike_need_more(tmp_path: Path) -> None:
    text = WARD.replace("berta,120,45,", "berta,120,145,\nberta,180,45,")
    with pytest.raises(UsageError, match="Several alerts"):
        look(tmp_path, text, Wish(alert="berta"))


def test_a_patient_of_whom_nothing_was_measured_is_said(tmp_path: Path) -> None:
    text = "patient,time,hr\nanna,0,0\nanna,60,0\n"
    with pytest.raises(UsageError, match="no vital sign"):
        look(tmp_path, text, Wish(time=60_000))


def test_a_recording_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        look(tmp_path, "patient,time,hr\n")


def test_what_is_known_of_the_patient_is_held_from_when_it_is_said(tmp_path: Path) -> None:
    text = "patient,time,hr,age\nanna,0,80,\nanna,60,81,81\nanna,120,82,\n"
    course = look(tmp_path, text, Wish(time=120_000)).course
    np.testing.assert_allclose(course.context[:, 0], [0, 1, 1])
    np.testing.assert_allclose(course.context[:, 1], [0, 1, 1])
    assert not course.context[:, 2:].any()
