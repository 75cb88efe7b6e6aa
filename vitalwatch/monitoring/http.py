"""``/metrics``, ``/livez`` and ``/readyz`` on one small server in a thread of its own."""

import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vitalwatch.errors import ConfigurationError

STUCK_SECONDS: Final = 120.0
"""A loop that has not come round for so long hangs: longer than any wait for a broker."""

log = logging.getLogger(__name__)


class Condition(msgspec.Struct, frozen=True):
    """One thing that must hold before the daemon is ready, and why it holds or does not."""

    ok: bool
    detail: str


class Health(Collector):
    """Whether the daemon lives (its loop goes round) and is ready (all conditions hold).

    Written by the daemon's thread, read by the server's; each write replaces one entry. The server
    that tells it also has it in the metrics, for a probe's answer is not kept.
    """

    def __init__(
        self, conditions: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._conditions = {name: Condition(ok=False, detail="not yet") for name in conditions}
        self._clock = clock
        self._beat = clock()
        self._busy = False

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The loop is not to be expected to come round: something takes as long as it takes."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self.beat()

    def beat(self) -> None:
        """The loop came round."""
        self._beat = self._clock()

    def report(self, condition: str, *, ok: bool, detail: str) -> None:
        """State whether a condition holds; ``detail`` names no patient."""
        if condition not in self._conditions:
            raise KeyError(condition)
        self._conditions[condition] = Condition(ok, detail)

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop goes round, and what to answer."""
        seconds = self._clock() - self._beat
        alive = self._busy or seconds < STUCK_SECONDS
        return alive, {"live": alive, "seconds_since_loop": round(seconds, 1)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether all conditions hold, and what to answer."""
        conditions = dict(self._conditions)
        ready = all(condition.ok for condition in conditions.values())
        return ready, {"ready": ready, "conditions": conditions}

    def collect(self) -> Iterable[Metric]:
        """The same as metrics."""
        yield GaugeMetricFamily(
            "vitalwatch_live", "Whether the daemon's loop goes round (/livez).", self.live()[0]
        )
        ready = GaugeMetricFamily(
            "vitalwatch_ready",
            "Whether a condition holds; ready where all of them do (/readyz).",
            labels=["condition"],
        )
        for name, condition in self._conditions.items():
            ready.add_metric([name], condition.ok)
        yield ready


class Server:
    """The server; a context manager that has stopped listening when it is left.

    ``port`` 0 picks a free one. Raises ConfigurationError if the address cannot be had.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        class Handler(_Handler):
            pages = _pages(registry, health)

        try:
            address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Listener(address[4][:2], address[0], Handler)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {host}:{port} for metrics and health: "
                f"{error.strerror or error}. Free it, or choose another with "
                "--monitoring-host and --monitoring-port (0 picks a free one)."
            ) from None
        registry.register(health)
        self.port = int(self._server.server_address[1])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="monitoring"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        log.info("metrics and health are served", extra={"url": self.url})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Page = Callable[[str], tuple[HTTPStatus, str, bytes]]
"""From the request's Accept header to status, content type and body."""


def _pages(registry: CollectorRegistry, health: Health) -> dict[str, Page]:
    def metrics(accept: str) -> tuple[HTTPStatus, str, bytes]:
        encode, content_type = choose_encoder(accept)
        return HTTPStatus.OK, content_type, encode(registry)

    def state(answer: Callable[[], tuple[bool, dict[str, Any]]]) -> Page:
        def page(accept: str) -> tuple[HTTPStatus, str, bytes]:  # noqa: ARG001
            ok, body = answer()
            status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
            return status, "application/json", msgspec.json.encode(body) + b"\n"

        return page

    return {"/metrics": metrics, "/livez": state(health.live), "/readyz": state(health.ready)}


class _Listener(ThreadingHTTPServer):
    def __init__(
        self, address: Any, family: socket.AddressFamily, handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # Not HTTPServer's own, which asks the name service for a name that nobody needs.
        socketserver.TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    pages: dict[str, Page]
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that a silent client may keep a thread

    def do_GET(self) -> None:
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            known = "There are: " + " ".join(self.pages) + "\n"
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", known.encode())
        else:
            self._answer(*page(self.headers.get("Accept", "")))

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - inherited
        log.debug(format, *arguments)
