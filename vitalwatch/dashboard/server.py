"""The HTTP side: the page's files, the stream of events, and what the page may ask or say.

Requests carry a patient's key, never an identifier, and those about a patient are POSTs, so that
no proxy's log holds one. The content security policy lets nothing run or load but our own files.
"""

import asyncio
import hashlib
import logging
import mimetypes
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import vitalwatch
from vitalwatch import config
from vitalwatch.dashboard import ward as wards
from vitalwatch.dashboard.access import COOKIE, SESSION_SECONDS, Access, Visitor, same_origin
from vitalwatch.dashboard.clients import Events, TooSlow
from vitalwatch.dashboard.feed import Status
from vitalwatch.dashboard.queries import AlertQuery, HistoryQuery, Queries
from vitalwatch.dashboard.ward import Ward
from vitalwatch.errors import BrokerError, ConfigurationError
from vitalwatch.messages import Ack

PAGE: Final = Path(__file__).parent / "page"
LARGEST_BODY: Final = 16 * 1024
MOST_CLIENTS: Final = 500
SNAPSHOT_SECONDS: Final = 1.0
"""Pages that come together get one and the same snapshot, which is at most so old."""

UNSENT_MS: Final = 20_000
"""A connection that takes nothing for so long is closed by the system."""

WRONG_TOKEN_SECONDS: Final = 0.5
CLOSING_SECONDS: Final = 2

BANNERS: Final = {
    "live": "",
    "simulated": "SIMULATED PATIENTS",
    "replay": "REPLAY OF A RECORDING",
}
NOT_A_DEVICE: Final = "Research software, not a medical device."

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]

log = logging.getLogger(__name__)
encode: Final = msgspec.json.Encoder().encode

T = TypeVar("T")


class Source(Protocol):
    """Where a ward's events come from: a feed, or a recording."""

    status: Status

    def acknowledged(self, ack: Ack) -> None:
        """An acknowledgement has been written."""


class Player(Protocol):
    """A recording that is played."""

    def state(self) -> dict[str, Any]:
        """Where it is."""

    def command(self, action: str, speed: float | None, to_ms: int | None) -> dict[str, Any]:
        """Play, pause, change the speed or seek; where it is then. Raises ValueError."""


class AckRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a page posts to acknowledge."""

    alert_id: str
    name: str
    note: str = ""


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a page posts to be let in."""

    token: str


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a page posts to steer a recording."""

    action: str
    speed: float | None = None
    to_ms: int | None = None


class Problem(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A request that cannot be answered as asked: the status, and a sentence for a person."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Figures(Protocol):
    """The part of :class:`vitalwatch.dashboard.figures.Figures` that the server keeps."""

    registry: CollectorRegistry

    def client(self, change: int) -> None:
        """A page came or went."""

    def dropped(self) -> None:
        """A page was too slow."""


class App:
    """All routes of one dashboard."""

    def __init__(
        self,
        ward: Ward,
        events: Events,
        source: Source,
        access: Access,
        figures: Figures,
        queries: Queries,
        *,
        mode: str,
        title: str,
        write_ack: Callable[[str, str, str], Ack],
        player: Player | None = None,
        reload: bool = False,
    ) -> None:
        """``reload`` reads the page's files again for each request, for who works on them."""
        self._reload = reload
        self._ward = ward
        self._events = events
        self._source = source
        self._access = access
        self._figures = figures
        self._queries = queries
        self._mode = mode
        self._title = title
        self._write_ack = write_ack
        self._player = player
        self._clients = 0
        self._files = _files()
        self._snapshot: tuple[float, int, bytes] | None = None
        self._snapshot_lock = asyncio.Lock()
        routes = [
            Route("/", self._index),
            Route("/assets/{path:path}", self._asset),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Route("/api/me", self._me),
            Route("/api/vitals", self._vitals),
            Route("/api/events", self._stream),
            *(
                Route(f"/api/{name}", self._post(handler), methods=["POST"])
                for name, handler in {
                    "session": self._session,
                    "history": self._history,
                    "alerts": self._alerts,
                    "alerts/export": self._export,
                    "acks": self._ack,
                    "replay": self._replay,
                }.items()
            ),
        ]
        self.asgi: ASGIApp = _Headers(
            Starlette(routes=routes, exception_handlers={Problem: _problem, 404: _unknown})
        )

    # -- files -----------------------------------------------------------------------------------

    async def _index(self, request: Request) -> Response:
        return self._file(request, "index.html")

    async def _asset(self, request: Request) -> Response:
        return self._file(request, request.path_params["path"])

    def _file(self, request: Request, name: str) -> Response:
        found = (_files() if self._reload else self._files).get(name)
        if found is None:
            raise Problem(404, "There is no such file.")
        content, kind, tag = found
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    # -- for machines ----------------------------------------------------------------------------

    async def _livez(self, request: Request) -> Response:
        return _json({"live": True})

    async def _readyz(self, request: Request) -> Response:
        status = self._source.status
        ready = status.state == "ok"
        return _json({"ready": ready, "source": status.state}, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        self._visitor(request)
        write, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(write(self._figures.registry), headers={"Content-Type": content_type})

    # -- for the page ----------------------------------------------------------------------------

    async def _me(self, request: Request) -> Response:
        visitor = self._visitor(request)
        return _json(
            {
                "role": visitor.role,
                "name": visitor.name,
                "mode": self._mode,
                "banner": BANNERS[self._mode],
                "title": self._title,
                "version": vitalwatch.__version__,
                "notice": NOT_A_DEVICE,
                "login": not self._access.open,
            }
        )

    async def _vitals(self, request: Request) -> Response:
        self._visitor(request)
        return _json(wards.vitals())

    async def _stream(self, request: Request) -> Response:
        self._visitor(request)
        if self._clients >= MOST_CLIENTS:
            raise Problem(503, f"More than {MOST_CLIENTS} pages are open: close some.")
        reached = self._events.after(request.headers.get("last-event-id"))
        first = b"retry: 1000\n\n"
        if reached is None:
            reached, snapshot = await self._snapshotted()
            first += snapshot
        return _Stream(self, first, reached)

    async def _session(self, visitor: Visitor | None, body: bytes, request: Request) -> Response:
        cookie = self._access.session(_decoded(body, TokenRequest).token)
        if cookie is None:
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
            raise Problem(401, "That token is not right.")
        response = _json({"ok": True})
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def _history(self, visitor: Visitor | None, body: bytes, request: Request) -> Response:
        query = _decoded(body, HistoryQuery)
        found = await _apart(self._queries.history, query)
        if found is None:
            raise Problem(404, "That patient is not on the stream, or no longer.")
        return _json(found)

    async def _alerts(self, visitor: Visitor | None, body: bytes, request: Request) -> Response:
        return _json(await _apart(self._queries.alerts, _decoded(body, AlertQuery)))

    async def _export(self, visitor: Visitor | None, body: bytes, request: Request) -> Response:
        lines = await _apart(self._queries.export, _decoded(body, AlertQuery))
        name = 'attachment; filename="vitalwatch-alerts.jsonl"'
        return Response(
            lines,
            media_type="application/x-ndjson",
            headers={"Content-Disposition": name, "Cache-Control": "no-store"},
        )

    async def _ack(self, visitor: Visitor | None, body: bytes, request: Request) -> Response:
        if visitor is None or visitor.role != "acknowledge":
            raise Problem(403, "You may look, but not acknowledge.")
        asked = _decoded(body, AckRequest)
        name = visitor.name or asked.name.strip()
        if not name or len(name) > 80:
            raise Problem(400, "Say who acknowledges, in at most 80 characters.")
        if len(asked.note) > 500:
            raise Problem(400, "The note may have 500 characters at most.")
        if self._ward.shown(asked.alert_id) is None:
            raise Problem(404, "There is no such alert.")
        try:
            ack = await _apart(self._write_ack, asked.alert_id, name, asked.note)
        except BrokerError as error:
            log.warning("an acknowledgement could not be written: %s", error)
            raise Problem(
                503, "The acknowledgement could not be written: the broker is away. Try again."
            ) from None
        self._source.acknowledged(ack)
        told = {"alert_id": ack.alert_id, "name": ack.name, "note": ack.note, "time_ms": ack.time}
        return _json(told, 201)

    async def _replay(self, visitor: Visitor | None, body: bytes, request: Request) -> Response:
        if self._player is None:
            raise Problem(404, "Nothing is replayed here.")
        asked = _decoded(body, ReplayRequest)
        try:
            state = await _apart(self._player.command, asked.action, asked.speed, asked.to_ms)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        return _json(state)

    # -- parts -----------------------------------------------------------------------------------

    def _visitor(self, request: Request) -> Visitor:
        visitor = self._access.visitor(request)
        if visitor is None:
            raise Problem(401, "Say who you are: this page needs a token.")
        return visitor

    def _post(
        self, handler: Callable[[Visitor | None, bytes, Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            if not same_origin(request):
                raise Problem(403, "Only the page itself may ask that.")
            kind = request.headers.get("content-type", "").partition(";")[0].strip()
            if kind != "application/json":
                raise Problem(415, "The request must be application/json.")
            logging_in = request.url.path == "/api/session"
            visitor = None if logging_in else self._visitor(request)
            return await handler(visitor, await _body(request), request)

        return checked

    async def _snapshotted(self) -> tuple[int, bytes]:
        """The last event's number, and all that was known then as an event."""
        async with self._snapshot_lock:
            held = self._snapshot
            if (
                held is None
                or time.monotonic() - held[0] > SNAPSHOT_SECONDS
                or (self._events.after(f"{self._events.epoch}-{held[1]}") is None)
            ):
                # What happens while it is made comes again as events, and changes nothing then.
                reached = self._events.last
                content = await _apart(lambda: encode(self.snapshot()))
                written = self._events.written("ward", content, reached)
                self._snapshot = held = (time.monotonic(), reached, written)
            return held[1], held[2]

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs to begin with."""
        clock = round(time.time() * 1000)
        return {
            "now_ms": self._ward.now(clock),
            "mode": self._mode,
            "banner": BANNERS[self._mode],
            "patients": self._ward.patients(clock),
            "alerts": self._ward.listed(),
            "source": self._source.status,
            "replay": self._player.state() if self._player else None,
        }

    async def follow(self, first: bytes, reached: int) -> AsyncIterator[bytes]:
        """What a page is sent, from its beginning on."""
        yield first
        async for chunk in self._events.follow(reached, lambda _: None):
            yield chunk

    def client(self, change: int) -> None:
        """A page came or went."""
        self._clients += change
        self._figures.client(change)

    def dropped(self) -> None:
        """A page was too slow."""
        self._figures.dropped()


class _Stream(Response):
    """An answer that goes on until the page goes, or falls behind."""

    def __init__(self, app: App, first: bytes, reached: int) -> None:
        super().__init__(
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._app = app
        self._first = first
        self._reached = reached

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._app.client(1)
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._app.client(-1)
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        start: Message = {
            "type": "http.response.start",
            "status": 200,
            "headers": self.raw_headers,
        }
        await send(start)
        try:
            async for chunk in self._app.follow(self._first, self._reached):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TooSlow:
            self._app.dropped()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Headers:
    """Puts the headers that guard the page on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


def _files() -> Mapping[str, tuple[bytes, str, str]]:
    """Content, type and strong tag of the page's files, by their path."""
    found = {}
    for path in sorted(PAGE.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path)[0]
            if kind is not None and kind.startswith("text/"):
                kind += "; charset=utf-8"
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            name = path.relative_to(PAGE).as_posix()
            found[name] = content, kind or "application/octet-stream", tag
    return found


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise Problem(413, f"The request is larger than {LARGEST_BODY // 1024} KiB.")
    return body


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"The request is not understood: {error}.") from None


async def _apart(work: Callable[..., T], *arguments: Any) -> T:
    """Do it on another thread, so that nobody's events wait for it."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _json(content: Any, status: int = 200) -> Response:
    return Response(
        encode(content),
        status,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - for the type
    return _json({"error": str(problem)}, problem.status)


async def _unknown(request: Request, problem: Exception) -> Response:
    return _json({"error": "There is no such address."}, 404)


class Server:
    """Serves an app in a thread; a context manager that has stopped listening when it is left.

    Raises ConfigurationError if the address cannot be had.
    """

    def __init__(self, settings: config.Dashboard, app: App, events: Events) -> None:
        self._events = events
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
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port} for the dashboard: {error.strerror or error}. Free "
            "it, or choose another with --dashboard-host and --dashboard-port (0 picks a free one)."
        ) from None
    return listener
