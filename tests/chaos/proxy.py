"""A TCP proxy that cuts, slows and holds up what goes through it."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self

_CHUNK: Final = 1 << 16
_BACKLOG: Final = 128


class Proxy:
    """Forwards connections to ``host:port`` of this machine; runs in a thread of its own."""

    def __init__(self, target: int, port: int = 0) -> None:
        """Listen on ``port``, by default a free one, for connections to port ``target``."""
        self._target = target
        self._delay = 0.0
        self._rate = float("inf")
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self.port: int = listener.getsockname()[1]
        self._open = self._do(self._start(listener))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """Reset all connections; how many there were. New ones are taken at once."""
        count: int = self._do(self._cut())
        return count

    def refuse(self) -> None:
        """Reset all connections, and new ones too, until :meth:`restore`."""
        self._refusing = True
        self.cut()

    def slow(self, delay: float, rate: float = float("inf")) -> None:
        """Hold every chunk for ``delay`` seconds, and pass ``rate`` bytes a second on."""
        self._delay, self._rate = delay, rate

    def stall(self) -> None:
        """Keep connections open, and take new ones, and pass nothing on (half-open)."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def restore(self) -> None:
        """Be a wire again; what was held up goes on its way."""
        self._delay, self._rate, self._refusing = 0.0, float("inf"), False
        self._loop.call_soon_threadsafe(self._open.set)

    def _do(self, work: "Coroutine[Any, Any, Any]") -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self, listener: socket.socket) -> asyncio.Event:
        self._server = await asyncio.start_server(self._serve, sock=listener)
        passing = asyncio.Event()
        passing.set()
        return passing

    async def _stop(self) -> None:
        self._server.close()
        await self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cut(self) -> int:
        for writer in self._writers:
            _reset(writer)
        return len(self._writers) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            if self._refusing:
                _reset(writer)
                return
            beyond, onward = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(onward)
            self._writers.update(writers)
            ways = [
                asyncio.create_task(self._pump(reader, onward)),
                asyncio.create_task(self._pump(beyond, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the target is away
        finally:
            self._writers.difference_update(writers)
            for each in writers:
                each.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await asyncio.sleep(self._delay + len(data) / self._rate)
            await self._open.wait()
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a cut would, not as a program that is done with it."""
    at_once = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()
