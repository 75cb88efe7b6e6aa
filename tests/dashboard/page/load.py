"""Many patients at a reading a second each, and how a page bears it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from playwright.sync_api import CDPSession, Page

from tests.dashboard.stream import Stream, now

INTERVAL_SECONDS = 1.0

_OBSERVE = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
  }).observe({ type: 'longtask' });
}"""

_FRAME = """() => new Promise((done) => {
  const begun = performance.now();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
})"""


class Figures(NamedTuple):
    """How a page fared: long tasks (ms each), frames (ms each), heap (MB) and nodes of the page."""

    seconds: float
    long_tasks: list[float]
    frames: list[float]
    heap: list[float]
    nodes: list[int]

    @property
    def blocked(self) -> float:
        """The part of the time in which the page could not answer."""
        return sum(max(task - 50, 0) for task in self.long_tasks) / 1000 / self.seconds

    def __str__(self) -> str:
        frames = sorted(self.frames)
        return (
            f"{self.seconds:.0f} s: {len(self.long_tasks)} long tasks, the longest "
            f"{max(self.long_tasks, default=0):.0f} ms, blocked {100 * self.blocked:.2f} % of the "
            f"time; next frame after {frames[len(frames) // 2]:.0f} ms in the median, "
            f"{frames[-1 - len(frames) // 20]:.0f} ms in 95 of 100; heap {self.heap[0]:.1f} to "
            f"{self.heap[-1]:.1f} MB, nodes {self.nodes[0]} to {self.nodes[-1]}"
        )


@contextmanager
def patients(stream: Stream, count: int) -> Iterator[None]:
    """So many patients, each with a reading and its scores a second, while the context lasts."""
    stop = threading.Event()

    def publish() -> None:
        step = 0
        while not stop.is_set():
            due = time.monotonic() + INTERVAL_SECONDS
            moment = now()
            stream.readings([(f"p-{n:03}", moment, _vitals(n, step)) for n in range(count)])
            step += 1
            stop.wait(max(due - time.monotonic(), 0))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _vitals(patient: int, step: int) -> dict[str, float]:
    wave = (step * 7 + patient * 13) % 11
    return {
        "hr": 70.0 + wave,
        "spo2": 95.0 + wave % 4,
        "rr": 14.0 + wave % 5,
        "sbp": 115.0 + wave,
        "dbp": 70.0 + wave,
    }


def watch(page: Page, seconds: float, every: float = 1.0) -> Figures:
    """Use a page that shows them, and measure."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.evaluate(_OBSERVE)
    figures = Figures(seconds, [], [], [], [])
    end = time.monotonic() + seconds
    _sizes(session, figures)
    while time.monotonic() < end:
        page.keyboard.press("ArrowDown")
        figures.frames.append(float(page.evaluate(_FRAME)))
        page.wait_for_timeout(every * 1000)
        if len(figures.frames) % 30 == 0:
            _sizes(session, figures)
    _sizes(session, figures)
    figures.long_tasks.extend(page.evaluate("window.longTasks"))
    return figures


def _sizes(session: CDPSession, figures: Figures) -> None:
    session.send("HeapProfiler.collectGarbage")
    found: dict[str, Any] = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    figures.heap.append(found["JSHeapUsedSize"] / 1e6)
    figures.nodes.append(int(found["Nodes"]))
