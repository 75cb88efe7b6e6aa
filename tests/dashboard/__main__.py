"""``python -m tests.dashboard``: pictures of the page for README, and how it bears a long watch.

``screenshots`` writes them to ``deploy/dashboard``, from a simulated ward that is played as a
recording. ``endurance`` shows 500 patients for ten minutes and prints long tasks and memory.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.dashboard.page import load
from tests.dashboard.stream import PARTITIONS, Stream
from vitalwatch import config
from vitalwatch.dashboard.dashboard import Dashboard
from vitalwatch.stream import topics
from vitalwatch.stream.memory import MemoryBroker

PICTURES = Path(__file__).parent.parent.parent / "deploy" / "dashboard"
LARGEST = 150_000
WALL = ViewportSize(width=1280, height=720)
PHONE = ViewportSize(width=390, height=844)
SEEK = """(ms) => fetch('/api/replay', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ action: 'seek', to_ms: ms }),
})"""
WARD = ["--patients", "16", "--duration", "4h", "--seed", "7"]


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield found
        found.close()


@contextmanager
def replay(folder: Path) -> Iterator[str]:
    """The address of a dashboard that plays a simulated ward."""
    program = [sys.executable, "-m", "vitalwatch.commands.main"]
    recording, truth = folder / "ward.csv", folder / "truth.jsonl"
    made = [*program, "simulate", *WARD, "--to", str(recording), "--truth", str(truth)]
    subprocess.run(made, check=True)
    shown = ["dashboard", "--replay", str(recording), "--truth", str(truth)]
    server = subprocess.Popen(
        [*program, *shown, "--dashboard-port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address is not None, "the dashboard did not start"
        yield address[0]
    finally:
        server.terminate()
        server.wait()


def busiest(page: Page) -> int:
    """When most alerts are active, from the timeline that the page holds; ms."""
    script = """async () => {
      const { state } = await import('/assets/js/store.js');
      const alerts = state.timeline.alerts.filter((alert) => alert.kind === 'physiological');
      const holds = (a, at) => a.time_ms <= at && (a.over_ms ?? Infinity) > at;
      const active = (at) => alerts.filter((alert) => holds(alert, at)).length;
      const times = alerts.map((alert) => alert.time_ms + 90_000);
      return times.sort((a, b) => active(b) - active(a) || a - b)[0];
    }"""
    return int(page.evaluate(script))


def screenshots(folder: Path) -> None:
    """Every view in light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, replay(Path(made)) as url, browser() as chromium:
        for theme in ("dark", "light"):
            page = chromium.new_context(color_scheme=theme, viewport=WALL).new_page()
            views(page, url, folder, theme)
        page = chromium.new_context(color_scheme="dark", viewport=PHONE).new_page()
        page.goto(url)
        picture(page, folder / "phone.png")
    for path in sorted(folder.glob("*.png")):
        size = path.stat().st_size
        print(f"{path}  {size // 1000} kB{'  TOO LARGE' if size > LARGEST else ''}")


def views(page: Page, url: str, folder: Path, theme: str) -> None:
    """The ward, its alerts and the patient who is worst off, at the busiest time."""
    page.goto(url)
    page.wait_for_selector(".tile")
    page.keyboard.press(" ")  # pause
    expect(page.locator("#replay-play")).to_have_text("Play")
    at = busiest(page)
    page.evaluate(SEEK, at)
    page.wait_for_selector(".tile[data-worst=high], .tile[data-worst=medium]")
    picture(page, folder / f"ward-{theme}.png")
    worst = page.locator(".tile[data-worst=high], .tile[data-worst=medium]").first
    key = worst.get_attribute("data-key")
    page.evaluate("location.hash = 'alerts'")
    picture(page, folder / f"alerts-{theme}.png")
    page.evaluate(f"location.hash = 'patient/{key}'")
    page.get_by_role("button", name="1 h", exact=True).click()
    picture(page, folder / f"patient-{theme}.png")


def picture(page: Page, path: Path) -> None:
    """A picture in few colours: small, and the same to the eye."""
    from PIL import Image

    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def endurance(minutes: float, patients: int) -> None:
    """Print how a page fares that shows so many patients for so long."""
    settings = config.Settings(
        topics=config.Topics(prefix=f"endurance-{uuid.uuid4().hex[:8]}", partitions=PARTITIONS),
        dashboard=config.Dashboard(port=0),
    )
    broker = MemoryBroker()
    broker.create(topics.specs(settings.topics))
    stream = Stream(broker, settings.topics, "endurance")
    with (
        load.patients(stream, patients),
        Dashboard.of_stream(settings, lambda: broker) as dashboard,
        browser() as chromium,
    ):
        page = chromium.new_context(viewport=WALL).new_page()
        page.goto(dashboard.url)
        page.wait_for_selector(f".tile:nth-child({patients})", state="attached")
        page.locator(".tile a").first.focus()
        page.wait_for_timeout(5000)
        print(f"{patients} patients at 1 Hz, {load.watch(page, minutes * 60)}")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.dashboard", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pictures = commands.add_parser("screenshots")
    pictures.add_argument("--to", type=Path, default=PICTURES)
    long = commands.add_parser("endurance")
    long.add_argument("--minutes", type=float, default=10.0)
    long.add_argument("--patients", type=int, default=500)
    arguments = parser.parse_args()
    if arguments.command == "screenshots":
        screenshots(arguments.to)
    else:
        endurance(arguments.minutes, arguments.patients)


if __name__ == "__main__":
    main()
