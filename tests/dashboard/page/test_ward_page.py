"""The overview in a real browser."""

import time

import pytest
from playwright.sync_api import expect

from tests.dashboard.page.conftest import Open
from tests.dashboard.stream import MINUTE, Stream, now
from vitalwatch.dashboard.dashboard import Dashboard


def test_the_grid_fills_in_the_order_of_the_beds_and_a_cuffs_value_shows_its_age(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    moment = now()
    stream.read("bed-2", moment - 5 * MINUTE, sbp=121.0, dbp=76.0)
    stream.readings([(f"bed-{n}", moment, {"hr": 70.0 + n, "spo2": 97.0}) for n in (3, 1, 2)])
    page = open_page(dashboard.url)
    expect(page.locator(".tile .bed")).to_have_text(["Bed 1", "Bed 2", "Bed 3"])
    second = page.locator(".tile").nth(1)
    expect(second.locator(".hr .value")).to_have_text("72")
    expect(second.locator(".bp .value")).to_have_text("121/76")
    expect(second.locator(".bp .since")).to_have_text("5m")
    expect(second.locator(".rr .value")).to_have_text("–")  # not measured, and never 0
    expect(page.locator("#ward-shown")).to_have_text("3 patients")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    stream.read("bed-1", now(), hr=88.0)
    expect(page.locator(".tile").first.locator(".hr .value")).to_have_text("88")


def test_an_alert_marks_its_patient_within_a_second_of_its_commit(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    stream.readings([(f"bed-{n}", now(), {"spo2": 97.0}) for n in range(1, 5)])
    page = open_page(dashboard.url)
    expect(page.locator(".tile")).to_have_count(4)
    waits = []
    for n in range(1, 5):
        stream.alert(f"bed-{n}", now(), priority="high")
        committed = time.monotonic()
        page.wait_for_selector(f".tile:nth-child({n})[data-worst=high]")
        waits.append(time.monotonic() - committed)
    assert sorted(waits)[1] < 1.0, waits  # some may meet a busy machine
    first = page.locator(".tile").first
    expect(first.locator(".mark")).to_have_text("*** HIGH")
    expect(first.locator(".limit")).to_have_text("***SpO2 88<95")
    expect(page.locator("[data-filter=high] .n")).to_have_text("4")
    stream.alert("bed-1", now() + 1000, priority="high", event="cleared")
    expect(first.locator(".mark")).to_have_text("*** HIGH ended")  # nobody has seen it yet


def test_who_sends_nothing_has_no_data_and_no_numbers(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    stream.read("bed-1", now() - 3 * MINUTE, hr=71.0)
    stream.read("bed-2", now(), hr=72.0)
    page = open_page(dashboard.url)
    silent = page.locator(".tile").first
    expect(silent.locator(".gone")).to_have_text("NO DATA")
    expect(silent.locator(".vital.hr")).to_be_hidden()
    expect(page.locator(".tile").nth(1).locator(".gone")).to_have_text("")
    page.locator("[data-filter=no_data]").click()
    expect(page.locator(".tile .bed")).to_have_text(["Bed 1"])
    page.locator("[data-filter=no_data]").click()
    page.locator("#ward-search").fill("bed-2")
    expect(page.locator(".tile .bed")).to_have_text(["Bed 2"])
    expect(page.locator("#ward-shown")).to_have_text("1 of 2 patients")


def test_script_in_a_patients_identifier_and_a_note_is_text(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    script = "<img src=x onerror=document.title='broken'>1"
    stream.read(script, now(), spo2=97.0)
    stream.alert(script, now(), alert_id="a", sentence=f"SpO2 88 % {script}")
    page = open_page(dashboard.url)
    expect(page.locator(".tile .pseudonym")).to_have_text(script)
    expect(page.locator(".tile .mark")).to_have_text("** MED")
    page.keyboard.press("k")
    page.locator("#acknowledge-name").fill(script)
    page.locator("#acknowledge-note").fill(script)
    page.locator("#acknowledge button[type=submit]").click()
    expect(page.locator("#acknowledge")).to_be_hidden()
    page.keyboard.press("a")
    expect(page.locator(".acks li")).to_contain_text(f"{script}")
    expect(page.locator(".card-sentence")).to_have_text(f"SpO2 88 % {script}")
    assert page.locator("img").count() == 0
    assert "broken" not in page.title()


@pytest.mark.parametrize("count", [16, 64, 120])
def test_no_number_is_cut_off_however_many_patients_there_are(
    count: int, dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    widest = {"hr": 188.0, "spo2": 100.0, "rr": 38.0, "sbp": 188.0, "dbp": 110.0, "temp": 38.8}
    stream.readings([(f"p-{n:03}", now(), widest) for n in range(count)])
    stream.alert("p-000", now(), priority="high")
    page = open_page(dashboard.url, viewport={"width": 1280, "height": 720})
    expect(page.locator(".tile")).to_have_count(count)
    expect(page.locator(".tile[data-worst=high]")).to_have_count(1)
    cut = """(nodes) => nodes.slice(0, 16).flatMap((tile) => {
      const edge = tile.getBoundingClientRect();
      const shown = [...tile.querySelectorAll('.value')].filter((node) => node.offsetParent);
      return shown.map((node) => node.getBoundingClientRect())
        .filter((box) => box.right > edge.right - 2 || box.bottom > edge.bottom - 1)
        .map((box) => `${box.right - edge.right} ${box.bottom - edge.bottom}`);
    })"""
    assert page.locator(".tile").evaluate_all(cut) == []


def test_all_of_it_works_with_keys_alone(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    stream.readings([(f"bed-{n}", now(), {"hr": 70.0 + n, "spo2": 97.0}) for n in range(1, 7)])
    stream.alert("bed-3", now(), alert_id="a", priority="high")
    page = open_page(dashboard.url)
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator(".tile[data-worst=high]")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    # The overview: Tab reaches the grid, arrows move in it, Enter opens.
    while page.evaluate("document.activeElement.closest('.tile') === null"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.tile').dataset.worst") == "high"
    page.keyboard.press("Enter")
    expect(page.locator("#patient-heading")).to_contain_text("Bed 3")
    expect(page.locator("#patient-heading")).to_be_focused()
    page.keyboard.press("n")
    expect(page.locator("#patient-heading")).to_contain_text("Bed 4")
    page.keyboard.press("Escape")
    expect(page.locator(".tile:nth-child(4) a")).to_be_focused()
    # Acknowledging: the most urgent alert, a name, Enter.
    page.keyboard.press("k")
    expect(page.locator("#acknowledge input").first).to_be_focused()
    page.keyboard.type("Nurse Ada")
    page.keyboard.press("Enter")
    expect(page.locator(".tile:nth-child(3) .mark")).to_have_class("mark high acknowledged")
    expect(page.locator("#acknowledge")).to_be_hidden()
    expect(page.locator(".tile:nth-child(4) a")).to_be_focused()  # where it was before
    page.keyboard.press("/")
    expect(page.locator("#ward-search")).to_be_focused()
    page.keyboard.type("bed-6")
    expect(page.locator(".tile .bed")).to_have_text(["Bed 6"])


def test_that_more_patients_come_than_can_be_shown_is_said(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    dashboard.ward._most = 2
    stream.readings([(f"bed-{n}", now(), {"hr": 70.0 + n}) for n in range(1, 4)])
    page = open_page(dashboard.url)
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.locator("#trouble")).to_contain_text("some are missing here")


def test_the_page_fits_a_phone_and_keeps_its_banner_and_connection_in_sight(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    stream.readings([(f"bed-{n}", now(), {"hr": 70.0, "spo2": 97.0}) for n in range(1, 10)])
    page = open_page(dashboard.url, viewport={"width": 360, "height": 640})
    expect(page.locator(".tile")).to_have_count(9)
    for view in ("ward", "alerts", "alerts/history"):
        page.evaluate(f"location.hash = '{view}'")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
    page.evaluate("location.hash = 'ward'")
    page.locator(".tile").last.scroll_into_view_if_needed()
    expect(page.locator("#connection")).to_be_in_viewport()
