"""One patient in a real browser, and a recording that is played."""

from collections.abc import Mapping

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.page.conftest import Open
from tests.dashboard.stream import MINUTE, Stream, alert, now
from vitalwatch import config
from vitalwatch.arrays import Floats
from vitalwatch.dashboard.dashboard import Dashboard
from vitalwatch.dashboard.film import Film
from vitalwatch.messages import Truth
from vitalwatch.vitals import COUNT, INDEX

BEGIN = 1_700_000_000_000
SECONDS = 3600


def inked(page: Page, plot: str) -> bool:
    """Whether a chart's canvas has something in the colour of its line."""
    script = """(node) => {
      const canvas = node.querySelector('canvas');
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const ink = getComputedStyle(node.querySelector('.readout')).color.match(/\\d+/g).map(Number);
      let found = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (ink.every((part, j) => Math.abs(data[i + j] - part) < 12)) found += 1;
      }
      return found > 50;
    }"""
    return bool(page.locator(plot).evaluate(script))


def test_all_vitals_stand_on_one_axis_and_the_cursor_reads_them(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    begin = now() - 10 * MINUTE
    rows: list[tuple[str, int, Mapping[str, float]]] = [
        ("bed-1", begin + second * 1000, {"hr": 70.0 + second // 60, "spo2": 97.0})
        for second in range(600)
        if not 240 <= second < 360
    ]
    stream.readings(rows)
    stream.alert("bed-1", begin + 8 * MINUTE)
    page = open_page(dashboard.url)
    page.locator(".tile a").click()
    page.get_by_role("button", name="15 min", exact=True).click()
    expect(page.locator(".readout-name")).to_have_text(["HR /min", "SpO2 %"])
    expect(page.locator(".plot").first.locator("canvas")).to_have_count(2)  # and the surprise
    expect(page.locator(".readout.hr .readout-value")).to_have_text("79")
    page.wait_for_timeout(300)
    assert inked(page, ".plot:nth-child(1)")
    assert inked(page, ".plot:nth-child(2)")
    expect(page.locator("#patient-alerts .card")).to_have_count(1)
    # The keys move the cursor; in the gap there is no value, and before it what was then.
    page.locator("#plots").focus()
    seen = set()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
        seen.add(page.locator(".readout.hr .readout-detail").text_content())
        seen.add(page.locator(".readout.hr .readout-value").text_content())
    assert "no value" in seen
    assert {"78", "76", "73"} <= seen
    assert any(str(text).startswith("expected 77 to 79") for text in seen)
    expect(page.locator("#readout-time")).to_contain_text("At ")
    # Zoom ends where it was asked to, and a new reading is drawn while the page follows.
    page.keyboard.press("+")
    page.keyboard.press("l")
    page.mouse.move(5, 5)
    stream.read("bed-1", now(), hr=93.0)
    page.reload()
    expect(page.locator(".readout.hr .readout-value")).to_have_text("93")
    page.get_by_role("button", name="24 h").click()
    expect(page.get_by_role("button", name="24 h")).to_have_attribute("aria-pressed", "true")


def film() -> Film:
    """Two patients for an hour, a reading a second; the second one desaturates half way."""
    count = 2 * SECONDS
    patients = np.tile([0, 1], SECONDS).astype(np.int64)
    seconds = np.repeat(np.arange(SECONDS), 2)
    values: Floats = np.full((count, COUNT), np.nan, dtype=np.float32)
    values[:, INDEX["hr"]] = 70 + patients
    values[:, INDEX["spo2"]] = np.where((patients == 1) & (seconds >= SECONDS // 2), 86, 97)
    at = BEGIN + SECONDS // 2 * 1000
    return Film(
        names=["bed-1", "bed-2"],
        patients=patients,
        times=(BEGIN + seconds * 1000).astype(np.int64),
        values=values,
        rarity=np.full(count, 0.5, dtype=np.float32),
        expected=values,
        low=(values - 1).astype(np.float32),
        high=(values + 1).astype(np.float32),
        surprise=np.ones((count, COUNT), dtype=np.float32),
        alerts=[alert("bed-2", at + MINUTE, alert_id="a", priority="high")],
        truths=[Truth("bed-2", "hypoxia", benign=False, onset=at, end=at + 20 * MINUTE)],
    )


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_recording_is_paused_sought_in_and_always_called_a_replay(
    theme: str, open_page: Open
) -> None:
    settings = config.Dashboard(port=0)
    with Dashboard.of_film(settings, film(), "night.csv", speed=1.0) as dashboard:
        page = open_page(dashboard.url, color_scheme=theme)
        expect(page.locator("#banner")).to_contain_text("REPLAY")
        second = page.locator(".tile").nth(1)
        expect(second.locator(".spo2 .value")).to_have_text("97")
        page.keyboard.press(" ")
        expect(page.locator("#replay-play")).to_have_text("Play")
        page.locator("#replay-seek").focus()
        page.keyboard.press("End")
        expect(second.locator(".spo2 .value")).to_have_text("86")
        expect(second.locator(".mark")).to_contain_text("*** HIGH")
        page.keyboard.press("Home")
        expect(second.locator(".spo2 .value")).to_have_text("97")
        expect(second.locator(".mark")).to_be_hidden()
        # The timeline's events can be chosen by name.
        page.locator("#replay summary").click()
        page.get_by_role("button", name="true event: hypoxia").click()
        expect(page.locator("#replay-at")).to_contain_text(":42:20 of")
        page.locator("#replay-speed").select_option("300")
        page.locator("#replay-play").click()
        expect(second.locator(".spo2 .value")).to_have_text("86")
        for view in ("alerts", "alerts/history", "ward"):
            page.evaluate(f"location.hash = '{view}'")
            expect(page.locator("#banner")).to_be_visible()
