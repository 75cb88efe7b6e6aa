"""One page's stream of events: an answer that goes on until the page goes, or falls behind."""

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from vitalwatch.dashboard.clients import BEHIND_SECONDS, Events, TooSlow
from vitalwatch.dashboard.figures import Figures

RETRY: Final = b"retry: 1000\n\n"
"""Whoever loses the connection comes back after a second."""


class EventStream(Response):
    """The answer; ``first`` is sent before what comes after the event with number ``reached``."""

    def __init__(self, events: Events, figures: Figures, first: bytes, reached: int) -> None:
        super().__init__(
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._events = events
        self._figures = figures
        self._first = first
        self._reached = reached

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send until the page is gone."""
        self._figures.client(1)
        tasks = [asyncio.ensure_future(each) for each in (self._send(send), _gone(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._figures.client(-1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        try:
            await _body(send, RETRY + self._first)
            async for chunk in self._events.follow(self._reached):
                await _body(send, chunk)
        except (TooSlow, TimeoutError):
            # It ends in the middle, which closes the connection.
            self._figures.dropped()
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(send: Send, chunk: bytes) -> None:
    message: Message = {"type": "http.response.body", "body": chunk, "more_body": True}
    async with asyncio.timeout(BEHIND_SECONDS):
        await send(message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
