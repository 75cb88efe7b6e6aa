"""Are the shares in real alerts faithful, and do they name what was moved?"""

import pytest

from simulator import Ward
from vitalwatch import config
from vitalwatch.explanation.worth import WAYS, Worth, worth
from vitalwatch.model import checkpoint


@pytest.fixture(scope="module")
def found() -> Worth:
    people = Ward(60, 4_000_321, 20.0, onset=(1800, 7200), twins=True, share=0.7)
    model = checkpoint.load(config.Settings().model.path)
    return worth(model, config.Alarms(), people, 600)


def test_without_what_the_alert_blames_the_evidence_falls_most(found: Worth) -> None:
    assert found.alerts >= 20
    for way in WAYS:
        assert len(found.of_vitals[way]) == found.alerts
        assert found.of_vitals[way].share > 0.6
        assert found.of_signs[way].share > 0.7
        assert found.of_vitals[way].luck < 0.3
        assert found.of_vitals[way].fallen > 0


def test_the_top_driver_is_what_the_deterioration_moved(found: Worth) -> None:
    assert len(found.named) >= 15
    assert found.named.share > 0.8
    assert found.named.luck < 0.6


def test_what_was_found_is_said_in_lines(found: Worth) -> None:
    lines = str(found).splitlines()
    assert lines[0].startswith("top driver right in ")
    assert all("%" in line for line in lines)
