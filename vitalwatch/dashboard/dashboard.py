"""One dashboard: the feed, the ward and the server, started and ended together."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from vitalwatch import config
from vitalwatch.dashboard.access import Access
from vitalwatch.dashboard.acks import Acks
from vitalwatch.dashboard.app import App
from vitalwatch.dashboard.clients import Events
from vitalwatch.dashboard.feed import Feed
from vitalwatch.dashboard.figures import Figures
from vitalwatch.dashboard.queries import Queries
from vitalwatch.dashboard.server import Server
from vitalwatch.dashboard.ward import Ward
from vitalwatch.stream.broker import Broker


class Dashboard:
    """Shows a broker's stream while the context lasts; ``url`` is where.

    Raises ConfigurationError for an address that cannot be had, or that anybody could reach.
    """

    def __init__(
        self,
        settings: config.Settings,
        connect: Callable[[], Broker],
        *,
        reload: bool = False,
    ) -> None:
        access = Access(settings.dashboard)
        figures = Figures(CollectorRegistry())
        self._events = Events()
        self._events.on_published = figures.published
        self.ward = Ward()
        self._feed = Feed(
            connect,
            settings,
            self.ward,
            self._events,
            on_records=figures.records,
            on_skipped=figures.skipped,
            on_state=figures.state,
            on_anew=self._all_anew,
        )
        self._acks = Acks(connect, settings.topics.acks)
        self._app = App(
            self.ward,
            self._events,
            self._feed,
            access,
            figures,
            Queries(self.ward),
            title=settings.dashboard.title,
            write_ack=self._acks.write,
            reload=reload,
        )
        self._server = Server(settings.dashboard, self._app, self._events)
        self.url = self._server.url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed.run, args=(self._stop,), name="feed")
        self._stack = ExitStack()

    def _all_anew(self) -> None:
        self._events.publish_from_thread("ward", self._app.snapshot())

    def __enter__(self) -> Self:
        self._stack.callback(self._acks.close)
        self._stack.enter_context(self._server)
        self._thread.start()
        self._stack.callback(self._thread.join)
        self._stack.callback(self._stop.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)
