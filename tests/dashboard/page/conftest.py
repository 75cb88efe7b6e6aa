"""A real browser, and the page of a real server on a real broker.

One browser serves all tests of a process. Whatever a page writes to its console, as a browser does
when the content security policy is broken, fails the test.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect, sync_playwright

from tests.dashboard.conftest import Connect
from vitalwatch import config
from vitalwatch.dashboard.dashboard import Dashboard
from vitalwatch.stream import kafka, topics

DEADLINE_MS = 30_000

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser(needs: Callable[..., str]) -> Iterator[Browser]:
    program = needs("chromium")
    expect.set_options(timeout=DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def connect(kafka_address: str, settings: config.Settings) -> Connect:
    """Opens one connection to Kafka after the other, with the topics made."""
    address = config.Kafka(bootstrap=kafka_address)
    made = kafka.connect(address)
    made.create(topics.specs(settings.topics))
    made.close()
    return lambda: kafka.connect(address)


@pytest.fixture
def dashboard(connect: Connect, settings: config.Settings) -> Iterator[Dashboard]:
    with Dashboard.of_stream(settings, connect) as dashboard:
        yield dashboard


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens pages: ``open_page(url)``, with what a browser's context takes besides.

    ``faults`` says that a console error is expected, as where a server is restarted.
    """
    errors: list[str] = []
    with ExitStack() as stack:

        def opened(url: str, *, faults: bool = False, **context: object) -> Page:
            page = stack.enter_context(browser.new_context(**context)).new_page()  # type: ignore[arg-type]
            page.set_default_timeout(DEADLINE_MS)
            page.on("pageerror", lambda error: errors.append(str(error)))

            def said(message: ConsoleMessage) -> None:
                if message.type in ("error", "warning") and not faults:
                    errors.append(message.text)

            def answered(response: Response) -> None:
                if response.status >= 400 and not faults:
                    errors.append(f"{response.url} {response.request.post_data}")

            page.on("console", said)
            page.on("response", answered)
            page.goto(url, wait_until="domcontentloaded")
            return page

        yield opened
    assert errors == []
