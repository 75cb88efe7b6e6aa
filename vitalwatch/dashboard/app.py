"""All that a page, or a machine, may ask the dashboard.

Requests carry a patient's key, never an identifier, and those about a patient are POSTs, so that
no proxy's log holds one. The content security policy lets nothing run or load but our own files.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import vitalwatch
from vitalwatch.dashboard import acks
from vitalwatch.dashboard import ward as wards
from vitalwatch.dashboard.access import COOKIE, SESSION_SECONDS, Access, Visitor, same_origin
from vitalwatch.dashboard.alerts import told
from vitalwatch.dashboard.answers import (
    Guarded,
    Problem,
    answer,
    apart,
    body_of,
    decoded,
    encode,
    files,
    problem,
    unknown,
)
from vitalwatch.dashboard.clients import Events
from vitalwatch.dashboard.event_stream import EventStream
from vitalwatch.dashboard.feed import Status
from vitalwatch.dashboard.figures import Figures
from vitalwatch.dashboard.queries import AlertQuery, HistoryQuery, Queries
from vitalwatch.dashboard.ward import Ward
from vitalwatch.errors import BrokerError
from vitalwatch.messages import Ack

MOST_CLIENTS: Final = 500
SNAPSHOT_SECONDS: Final = 1.0
"""Pages that come together get one and the same snapshot, which is at most so old."""

WRONG_TOKEN_SECONDS: Final = 0.5

BANNERS: Final = {
    "live": "",
    "simulated": "SIMULATED PATIENTS",
    "replay": "REPLAY OF A RECORDING",
}
NOT_A_DEVICE: Final = "Research software, not a medical device."

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where a ward's events come from: a feed, or a recording."""

    @property
    def status(self) -> Status:
        """How it is."""

    @property
    def mode(self) -> str:
        """A word of :data:`BANNERS`: whether these are patients."""

    def acknowledged(self, ack: Ack) -> None:
        """An acknowledgement has been written."""


class Player(Protocol):
    """A recording that is played."""

    def state(self) -> dict[str, Any]:
        """Where it is."""

    def timeline(self) -> dict[str, Any]:
        """All that happens in it."""

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


class Asked(NamedTuple):
    """A POST that was let in."""

    visitor: Visitor | None
    body: bytes
    request: Request


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
        self._title = title
        self._write_ack = write_ack
        self._player = player
        self._files = files()
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
        self.asgi: ASGIApp = Guarded(
            Starlette(routes=routes, exception_handlers={Problem: problem, 404: unknown})
        )

    # -- files -----------------------------------------------------------------------------------

    async def _index(self, request: Request) -> Response:
        return self._file(request, "index.html")

    async def _asset(self, request: Request) -> Response:
        return self._file(request, request.path_params["path"])

    def _file(self, request: Request, name: str) -> Response:
        found = (files() if self._reload else self._files).get(name)
        if found is None:
            raise Problem(404, "There is no such file.")
        content, kind, tag = found
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    # -- for machines ----------------------------------------------------------------------------

    async def _livez(self, _: Request) -> Response:
        return answer({"live": True})

    async def _readyz(self, _: Request) -> Response:
        status = self._source.status
        ready = status.state == "ok"
        return answer({"ready": ready, "source": status.state}, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        self._visitor(request)
        write, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(write(self._figures.registry), headers={"Content-Type": content_type})

    # -- for the page ----------------------------------------------------------------------------

    async def _me(self, request: Request) -> Response:
        visitor = self._visitor(request)
        return answer(
            {
                "role": visitor.role,
                "name": visitor.name,
                "mode": self._source.mode,
                "banner": BANNERS[self._source.mode],
                "title": self._title,
                "version": vitalwatch.__version__,
                "notice": NOT_A_DEVICE,
                "login": not self._access.open,
            }
        )

    async def _vitals(self, request: Request) -> Response:
        self._visitor(request)
        return answer(wards.vitals())

    async def _stream(self, request: Request) -> Response:
        self._visitor(request)
        if self._figures.clients >= MOST_CLIENTS:
            raise Problem(503, f"More than {MOST_CLIENTS} pages are open: close some.")
        reached = self._events.after(request.headers.get("last-event-id"))
        first = b""
        if reached is None:
            reached, first = await self._snapshotted()
        return EventStream(self._events, self._figures, first, reached)

    async def _session(self, asked: Asked) -> Response:
        cookie = self._access.session(decoded(asked.body, TokenRequest).token)
        if cookie is None:
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
            raise Problem(401, "That token is not right.")
        response = answer({"ok": True})
        request = asked.request
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def _history(self, asked: Asked) -> Response:
        query = decoded(asked.body, HistoryQuery)
        found = await apart(self._queries.history, query)
        if found is None:
            raise Problem(404, "That patient is not on the stream, or no longer.")
        return answer(found)

    async def _alerts(self, asked: Asked) -> Response:
        return answer(await apart(self._queries.alerts, decoded(asked.body, AlertQuery)))

    async def _export(self, asked: Asked) -> Response:
        lines = await apart(self._queries.export, decoded(asked.body, AlertQuery))
        name = 'attachment; filename="vitalwatch-alerts.jsonl"'
        return Response(
            lines,
            media_type="application/x-ndjson",
            headers={"Content-Disposition": name, "Cache-Control": "no-store"},
        )

    async def _ack(self, asked: Asked) -> Response:
        visitor = asked.visitor
        if visitor is None or visitor.role != "acknowledge":
            raise Problem(403, "You may look, but not acknowledge.")
        wish = decoded(asked.body, AckRequest)
        name, note = visitor.name or wish.name.strip(), wish.note.strip()
        if not name or len(name) > acks.NAME:
            raise Problem(400, f"Say who acknowledges, in at most {acks.NAME} characters.")
        if len(note) > acks.NOTE:
            raise Problem(400, f"The note may have {acks.NOTE} characters at most.")
        if self._ward.shown(wish.alert_id) is None:
            raise Problem(404, "There is no such alert.")
        try:
            ack = await apart(self._write_ack, wish.alert_id, name, note)
        except BrokerError as error:
            log.warning("an acknowledgement could not be written: %s", error)
            raise Problem(
                503, "The acknowledgement could not be written: the broker is away. Try again."
            ) from None
        self._source.acknowledged(ack)
        return answer(told(ack), 201)

    async def _replay(self, asked: Asked) -> Response:
        if asked.visitor is None or asked.visitor.role != "acknowledge":
            raise Problem(403, "You may look, but not steer what everybody sees.")
        if self._player is None:
            raise Problem(404, "Nothing is replayed here.")
        wish = decoded(asked.body, ReplayRequest)
        try:
            state = await apart(self._player.command, wish.action, wish.speed, wish.to_ms)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        return answer(state)

    # -- parts -----------------------------------------------------------------------------------

    def _visitor(self, request: Request) -> Visitor:
        visitor = self._access.visitor(request)
        if visitor is None:
            raise Problem(401, "Say who you are: this page needs a token.")
        return visitor

    def _post(
        self, handler: Callable[[Asked], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            if not same_origin(request):
                raise Problem(403, "Only the page itself may ask that.")
            kind = request.headers.get("content-type", "").partition(";")[0].strip()
            if kind != "application/json":
                raise Problem(415, "The request must be application/json.")
            logging_in = request.url.path == "/api/session"
            visitor = None if logging_in else self._visitor(request)
            return await handler(Asked(visitor, await body_of(request), request))

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
                content = await apart(lambda: encode(self.snapshot()))
                written = self._events.written("ward", content, reached)
                self._snapshot = held = (time.monotonic(), reached, written)
            return held[1], held[2]

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs to begin with."""
        clock, player = round(time.time() * 1000), self._player
        return {
            "now_ms": self._ward.now(clock),
            "mode": self._source.mode,
            "banner": BANNERS[self._source.mode],
            "patients": self._ward.patients(clock),
            "alerts": self._ward.listed(),
            "source": self._source.status,
            "replay": player and {**player.state(), "timeline": player.timeline()},
        }
