"""One dashboard: a source, the ward and the server, started and ended together."""

import hashlib
import threading
import time
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
from vitalwatch.dashboard.feed import READING, Feed
from vitalwatch.dashboard.figures import Figures
from vitalwatch.dashboard.film import Film
from vitalwatch.dashboard.history import History
from vitalwatch.dashboard.queries import Queries
from vitalwatch.dashboard.replays import Replay
from vitalwatch.dashboard.server import Server
from vitalwatch.dashboard.ward import Ward
from vitalwatch.messages import Ack
from vitalwatch.stream.broker import Broker


class Dashboard:
    """Shows a stream while the context lasts; ``url`` is where.

    Raises ConfigurationError for an address that cannot be had, or that anybody could reach.
    """

    _source: Feed | Replay

    def __init__(self, settings: config.Dashboard) -> None:
        self._settings = settings
        self._access = Access(settings)
        self._stack = ExitStack()
        self._stop = threading.Event()
        self.figures = Figures(CollectorRegistry())
        self._events = Events()
        self._events.on_published = self.figures.published
        self.ward = Ward(_secret(settings))

    @classmethod
    def of_stream(
        cls, settings: config.Settings, connect: Callable[[], Broker], *, reload: bool = False
    ) -> Self:
        """Shows what is on a broker's topics; ``connect`` opens it, and again when it was away."""
        self = cls(settings.dashboard)
        figures, acks = self.figures, Acks(connect, settings.topics.acks)
        older = History(connect, settings.topics)
        self._stack.callback(acks.close)
        self._stack.callback(older.close)
        self._source = Feed(
            connect,
            settings,
            self.ward,
            self._events,
            on_records=figures.records,
            on_skipped=figures.skipped,
            on_state=figures.state,
            on_anew=self._all_anew,
        )
        self._serve(acks.write, None, Queries(self.ward, older), reload=reload)
        return self

    @classmethod
    def of_film(
        cls,
        settings: config.Dashboard,
        film: Film,
        title: str,
        *,
        speed: float = 1.0,
        reload: bool = False,
    ) -> Self:
        """Plays a recording; what is acknowledged is kept as long as it runs."""
        self = cls(settings)
        replay = Replay(film, title, self.ward, self._events, speed=speed, on_anew=self._all_anew)
        self._source = replay
        self.figures.state(len(self.ward), 0)

        def write(alert_id: str, name: str, note: str) -> Ack:
            return Ack(alert_id, name, round(time.time() * 1000), note)

        self._serve(write, replay, Queries(self.ward), reload=reload)
        return self

    def _serve(
        self,
        write: Callable[[str, str, str], Ack],
        player: Replay | None,
        queries: Queries,
        *,
        reload: bool,
    ) -> None:
        self.figures.hears(lambda: self._source.status.state in READING)
        self._app = App(
            self.ward,
            self._events,
            self._source,
            self._access,
            self.figures,
            queries,
            title=self._settings.title,
            write_ack=write,
            player=player,
            reload=reload,
        )
        self._server = Server(self._settings, self._app, self._events)
        self.url = self._server.url
        self._thread = threading.Thread(target=self._source.run, args=(self._stop,), name="feed")

    def _all_anew(self) -> None:
        self._events.publish_from_thread("ward", self._app.snapshot())

    def __enter__(self) -> Self:
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


def _secret(settings: config.Dashboard) -> bytes:
    """What patients' keys are made with: the same after a restart, where there is a secret."""
    token = settings.acknowledge_token or settings.view_token
    return hashlib.sha256(b"keys of " + token.encode()).digest() if token else b""
