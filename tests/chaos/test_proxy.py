"""The proxy does to connections what it says."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy

SECONDS = 10.0


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(100):
                    peer.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,)).start()

    server = threading.Thread(target=serve)
    server.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    server.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)


def echoed(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(100)


def test_it_passes_on_what_comes(proxy: Proxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        assert echoed(one, b"one") == b"one"
        assert echoed(other, b"other") == b"other"


def test_what_is_cut_is_over_and_can_be_opened_again(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert echoed(client, b"before") == b"before"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            client.recv(1)
    with connected(proxy) as client:
        assert echoed(client, b"after") == b"after"


def test_while_it_refuses_nothing_can_be_opened(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionError), connected(proxy) as client:
        echoed(client, b"?")
    proxy.restore()
    with connected(proxy) as client:
        assert echoed(client, b"after") == b"after"


def test_what_is_held_up_comes_later(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert echoed(client, b"before") == b"before"
        proxy.stall()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            echoed(client, b"late")
        client.settimeout(SECONDS)
        proxy.restore()
        assert client.recv(100) == b"late"


def test_slow_is_not_lost(proxy: Proxy) -> None:
    proxy.slow(0.05, 10_000)
    with connected(proxy) as client:
        assert echoed(client, b"slow") == b"slow"


def test_without_a_target_connections_end(proxy: Proxy) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with Proxy(unused.getsockname()[1]) as nowhere, connected(nowhere) as client:
            assert client.recv(1) == b""
