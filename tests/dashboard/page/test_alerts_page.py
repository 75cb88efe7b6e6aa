"""Alerts in a real browser: acknowledging, the history, and servers that are started anew."""

from pathlib import Path

import msgspec
from playwright.sync_api import expect

from tests.dashboard.conftest import Connect
from tests.dashboard.page.conftest import Open
from tests.dashboard.stream import MINUTE, Stream, now
from vitalwatch import config
from vitalwatch.dashboard.dashboard import Dashboard


def test_an_acknowledgement_shows_on_every_page_and_ends_the_flashing_but_not_the_colour(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    stream.read("bed-1", now(), spo2=88.0)
    stream.alert("bed-1", now(), alert_id="a", priority="high")
    one, other = open_page(f"{dashboard.url}/#alerts"), open_page(dashboard.url)
    expect(other.locator(".tile .mark")).to_have_class("mark high flash-high")
    card = one.locator("#physiological .card")
    expect(card.locator(".card-sentence")).to_have_text("SpO2 88 % (expected 95 to 98)")
    expect(card.locator("tbody tr")).to_contain_text(["SpO2"])
    expect(card.locator("meter")).to_have_attribute("value", "70")
    expect(card.locator(".observed")).to_have_text("88 %")
    card.get_by_role("button", name="Acknowledge").click()
    one.locator("#acknowledge-name").fill("Ada")
    one.locator("#acknowledge-note").fill("probe seen")
    one.locator("#acknowledge button[type=submit]").click()
    expect(one.locator(".acks li")).to_contain_text("Acknowledged by Ada")
    expect(one.locator(".acks li")).to_contain_text("probe seen")
    expect(other.locator(".tile .mark")).to_have_class("mark high acknowledged")
    assert [(ack["alert_id"], ack["name"], ack["note"]) for ack in stream.acks()] == [
        ("a", "Ada", "probe seen")
    ]


def test_urgent_and_new_alerts_stand_first_and_technical_ones_apart(
    dashboard: Dashboard, stream: Stream, open_page: Open
) -> None:
    begin = now() - 10 * MINUTE
    stream.readings([(f"bed-{n}", now(), {"spo2": 97.0}) for n in range(1, 5)])
    stream.alert("bed-1", begin, priority="medium", sentence="first")
    stream.alert("bed-2", begin + 1000, priority="high", sentence="second")
    stream.alert("bed-3", begin + 2000, priority="medium", sentence="third")
    stream.alert("bed-4", begin + 3000, kind="technical", sentence="probe off")
    page = open_page(f"{dashboard.url}/#alerts")
    sentences = page.locator("#physiological .card-sentence")
    expect(sentences).to_have_text(["second", "third", "first"])
    expect(page.locator("#technical .card-sentence")).to_have_text(["probe off"])
    # The next one comes to its place, and the focus stays where it was.
    page.locator("#physiological .card").nth(1).locator(".card-place").focus()
    stream.alert("bed-4", now(), alert_id="new", priority="high", sentence="fourth")
    expect(sentences).to_have_text(["fourth", "second", "third", "first"])
    assert page.evaluate("document.activeElement.closest('.card').textContent.includes('third')")


def test_the_history_is_filtered_and_exported_as_it_was_published(
    dashboard: Dashboard, stream: Stream, open_page: Open, tmp_path: Path
) -> None:
    begin = now() - 60 * MINUTE
    stream.readings([(f"bed-{n}", now(), {"spo2": 97.0}) for n in range(1, 4)])
    stream.alert("bed-1", begin, priority="high", sentence="gone high")
    stream.alert("bed-1", begin + MINUTE, priority="high", event="cleared", sentence="back")
    told = stream.alert("bed-2", begin, sentence="a medium one")
    stream.alert("bed-3", begin, kind="technical", priority="low", sentence="probe off")
    page = open_page(dashboard.url)
    expect(page.locator(".tile[data-worst=medium]")).to_have_count(1)
    page.keyboard.press("h")
    expect(page.locator("#history .card")).to_have_count(3)
    page.locator("select[name=priority]").select_option("medium")
    page.keyboard.press("Tab")
    page.locator("#history-form button[type=submit]").click()
    expect(page.locator("#history .card-sentence")).to_have_text(["a medium one"])
    with page.expect_download() as download:
        page.locator("#history-export").click()
    file = tmp_path / "alerts.jsonl"
    download.value.save_as(file)
    (line,) = file.read_bytes().splitlines()
    assert msgspec.json.decode(line, type=type(told)) == told
    # And from the card to its place in the stream.
    page.get_by_role("link", name="Show in the stream").click()
    expect(page.locator("#patient-heading")).to_contain_text("Bed 2")
    expect(page.locator("#go-live")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#patient-alerts .card-sentence")).to_have_text(["a medium one"])


def test_a_page_outlives_its_server_and_loses_no_alert(
    connect: Connect, settings: config.Settings, stream: Stream, open_page: Open
) -> None:
    stream.readings([(f"bed-{n}", now(), {"spo2": 97.0}) for n in range(1, 4)])
    with Dashboard.of_stream(settings, connect) as first:
        port = int(first.url.rpartition(":")[2])
        page = open_page(first.url, faults=True)
        expect(page.locator(".tile")).to_have_count(3)
        stream.alert("bed-1", now(), sentence="before")
        expect(page.locator(".tile[data-worst=medium]")).to_have_count(1)
        page.locator(".tile a").nth(1).click()
        expect(page.locator("#patient-heading")).to_contain_text("Bed 2")
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    expect(page.locator("#trouble")).to_contain_text("not current")
    stream.alert("bed-2", now(), sentence="meanwhile", priority="high")
    stream.alert("bed-1", now(), event="cleared", sentence="over")
    again = msgspec.structs.replace(
        settings, dashboard=msgspec.structs.replace(settings.dashboard, port=port)
    )
    with Dashboard.of_stream(again, connect):
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator("#patient-heading")).to_contain_text("Bed 2")
        expect(page.locator("#patient-marks .mark")).to_have_text(["*** HIGH"])
        stream.alert("bed-3", now(), sentence="after")
        page.keyboard.press("a")
        sentences = page.locator("#physiological .card-sentence")
        expect(sentences).to_have_text(["meanwhile", "after", "before"])
        page.close()


def test_whoever_may_only_look_signs_in_and_is_not_offered_to_acknowledge(
    connect: Connect, settings: config.Settings, stream: Stream, open_page: Open
) -> None:
    stream.read("bed-1", now(), spo2=97.0)
    stream.alert("bed-1", now())
    guarded = msgspec.structs.replace(
        settings,
        dashboard=msgspec.structs.replace(settings.dashboard, view_token="v" * 20),
    )
    with Dashboard.of_stream(guarded, connect) as dashboard:
        page = open_page(f"{dashboard.url}/#alerts", faults=True)
        page.locator("#signin-token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#signin-error")).to_have_text("That token is not right.")
        page.locator("#signin-token").fill("v" * 20)
        page.keyboard.press("Enter")
        expect(page.locator("#physiological .card")).to_have_count(1)
        expect(page.locator("#alerts-role")).to_contain_text("Read only")
        expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
        page.close()
