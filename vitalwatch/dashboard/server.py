"""The web server, in a thread of its own."""

import asyncio
import logging
import socket
import threading
from types import TracebackType
from typing import Final, Self

import uvicorn

from vitalwatch import config
from vitalwatch.dashboard.app import App
from vitalwatch.dashboard.clients import Events
from vitalwatch.errors import ConfigurationError

UNSENT_MS: Final = 20_000
"""A connection that takes nothing for so long is closed by the system."""

UNSENT_BYTES: Final = 256 * 1024
"""So much waits in the system for one page; more only makes what it shows older."""

CLOSING_SECONDS: Final = 2


class _Expected(logging.Filter):
    """Keeps what the library says of pages that were dropped out of the log: it is a figure."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be written."""
        return "without completing response" not in str(record.msg)


class Server:
    """Serves an app in a thread; a context manager that has stopped listening when it is left.

    Raises ConfigurationError if the address cannot be had.
    """

    def __init__(self, settings: config.Dashboard, app: App, events: Events) -> None:
        self._events = events
        library = logging.getLogger("uvicorn.error")
        library.setLevel(logging.WARNING)
        if not any(isinstance(each, _Expected) for each in library.filters):
            library.addFilter(_Expected())
        self._socket = _listening(settings.host, settings.port)
        port = self._socket.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app.asgi,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=CLOSING_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._run, name="dashboard")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events.attach(self._loop)
        self._ready.set()
        await self._server.serve(sockets=[self._socket])

    def _stop(self) -> None:
        self._events.close()
        self._server.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Connections inherit it: a page that is gone, or never reads, is not kept for ever.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_MS)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port} for the dashboard: {error.strerror or error}. Free "
            "it, or choose another with --dashboard-host and --dashboard-port (0 picks a free one)."
        ) from None
    return listener
