"""Server-sent events to many pages: written once, read by each at its own pace.

The last events are kept in one ring, and a page is no more than a place in it. One that falls
behind the ring is dropped: it comes back by itself and gets all anew, and nobody waits for it.
Everything here runs on the server's event loop, but for :meth:`Events.publish_from_thread`.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

import msgspec

EVENTS_KEPT: Final = 2000
BYTES_KEPT: Final = 32 * 2**20
KEEP_ALIVE_SECONDS: Final = 10.0
DIGITS: Final = 18
"""A number of more digits is none of ours."""

KEEP_ALIVE: Final = b": alive\n\n"
AT_ONCE: Final = 256 * 1024
"""Bytes that are written to a page at once, or one event."""

_encode: Final = msgspec.json.Encoder().encode


BEHIND_SECONDS: Final = 15.0
"""A page that has not taken an event for so long is dropped."""


class Event(NamedTuple):
    """One event: its number, when it was, and what is sent of it."""

    number: int
    at: float
    data: bytes


class TooSlow(Exception):  # noqa: N818 - what a page was
    """A page that did not keep up."""


class Events:
    """The events of one server since it started."""

    def __init__(
        self,
        *,
        kept: int = EVENTS_KEPT,
        kept_bytes: int = BYTES_KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch = secrets.token_hex(4)
        self.last = 0
        self.on_published: Callable[[str, int], None] = lambda _name, _size: None
        self._clock = clock
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._ring: deque[Event] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on events are published on this loop."""
        self._loop = loop

    def publish_from_thread(self, name: str, content: Any) -> None:
        """Publish from another thread; what comes before the server runs is seen by nobody."""
        if self._loop is not None and not self._loop.is_closed():
            data = _encode(content)
            self._loop.call_soon_threadsafe(self.publish, name, data)

    def publish(self, name: str, data: bytes) -> None:
        """Give an event, whose ``data`` is JSON, to all pages."""
        self.last += 1
        written = self.written(name, data, self.last)
        self._ring.append(Event(self.last, self._clock(), written))
        self._bytes += len(written)
        while len(self._ring) > self._kept or self._bytes > self._kept_bytes:
            self._bytes -= len(self._ring.popleft().data)
        self.on_published(name, len(written))
        self._wake()

    def written(self, name: str, data: bytes, number: int) -> bytes:
        """An event as it is sent."""
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
            self.epoch.encode(),
            number,
            name.encode(),
            data,
        )

    def after(self, event_id: str | None) -> int | None:
        """The number that a page has got to, if all that came since is still there."""
        epoch, _, number = (event_id or "").partition("-")
        if epoch != self.epoch or not number.isdecimal() or len(number) > DIGITS:
            return None
        reached = int(number)
        oldest = self._ring[0].number if self._ring else self.last + 1
        return reached if oldest - 1 <= reached <= self.last else None

    def close(self) -> None:
        """End all pages' streams."""
        self._closed = True
        self._wake()

    async def follow(self, reached: int) -> AsyncIterator[bytes]:
        """What comes after an event, until :meth:`close`; TooSlow for a page that falls behind."""
        resumed = self._clock()
        while not self._closed:
            if reached >= self.last:
                changed = self._changed
                try:
                    await asyncio.wait_for(changed.wait(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield KEEP_ALIVE
                continue
            oldest = self._ring[0].number if self._ring else self.last + 1
            if oldest > reached + 1:
                raise TooSlow
            parts: list[bytes] = []
            size, place = 0, reached + 1 - oldest
            if self._clock() - max(self._ring[place].at, resumed) > BEHIND_SECONDS:
                raise TooSlow
            while place < len(self._ring):
                event = self._ring[place]
                if parts and size + len(event.data) > AT_ONCE:
                    break
                parts.append(event.data)
                size += len(event.data)
                place += 1
            reached += len(parts)
            yield b"".join(parts)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
