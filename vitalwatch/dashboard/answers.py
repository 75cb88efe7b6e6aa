"""What answers are made of: bodies in and out, problems as sentences, files, guarding headers."""

import asyncio
import hashlib
import mimetypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE: Final = Path(__file__).parent / "page"
LARGEST_BODY: Final = 16 * 1024

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

T = TypeVar("T")

encode: Final = msgspec.json.Encoder().encode


class Problem(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A request that cannot be answered as asked: the status, and a sentence for a person."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Guarded:
    """Puts the headers that guard the page on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


def files() -> Mapping[str, tuple[bytes, str, str]]:
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


async def body_of(request: Request) -> bytes:
    """What was posted. Raises Problem for too much."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise Problem(413, f"The request is larger than {LARGEST_BODY // 1024} KiB.")
    return body


def decoded(body: bytes, kind: type[T]) -> T:
    """What was posted, as it must be. Raises Problem for anything else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"The request is not understood: {error}.") from None


async def apart(work: Callable[..., T], *arguments: Any) -> T:
    """Do it on another thread, so that nobody's events wait for it."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def answer(content: Any, status: int = 200) -> Response:
    """JSON that nobody on the way keeps."""
    return Response(
        encode(content),
        status,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )


async def problem(_: Request, error: Exception) -> Response:
    """A problem as an answer."""
    return answer({"error": str(error)}, error.status if isinstance(error, Problem) else 500)


async def unknown(_: Request, _error: Exception) -> Response:
    """An address that there is not."""
    return answer({"error": "There is no such address."}, 404)
