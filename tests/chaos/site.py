"""A Kafka node that is killed and restarted, with a proxy before it."""

import os
from pathlib import Path
from typing import Any, Final, Self

from tests.chaos import markers
from tests.chaos.proxy import Proxy
from vitalwatch.stream import local_kafka

_LISTENERS: Final = (
    "PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},"
    "PROXIED://127.0.0.1:{behind}"
)
_ADVERTISED: Final = "PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{proxy}"
_PROTOCOLS: Final = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"


class Site:
    """``address`` reaches the node directly, ``through`` by way of ``proxy``."""

    def __init__(self, folder: Path, owner: int | None = None) -> None:
        """Its data are in ``folder``; it ends with the process ``owner``, by default this one."""
        self._data = folder / "kafka"
        self._owner = os.getpid() if owner is None else owner
        self._node = local_kafka.node()
        behind = self._node._free_port()
        self.proxy = Proxy(behind)
        self.through = f"127.0.0.1:{self.proxy.port}"
        ports = {"behind": behind, "proxy": self.proxy.port}
        self._settings = {
            "listeners": _LISTENERS.format(**ports),
            "advertised.listeners": _ADVERTISED.format(**ports),
            "listener.security.protocol.map": _PROTOCOLS,
            "inter.broker.listener.name": "PLAINTEXT",
        }
        self._port = 0
        self.markers = 0
        """So many markers of transactions were lost by Kafka, and written in its stead."""
        self.address = self.up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.down()
        self.proxy.__exit__(*error)

    def up(self) -> str:
        """Start the node on its data; the address. Workers reach it when it is in order."""
        self.proxy.refuse()
        named = {"settings": self._settings, "owner": self._owner}
        address: str = self._node.start(self._data, self._port, **named).address
        self._port = int(address.split(":")[1])
        self.markers += markers.write_lost(address)
        self.proxy.restore()
        return address

    def down(self, seconds: float = 0) -> None:
        """Kill the node, or let it stop in good order within so many seconds."""
        self._node.stop(self._data, seconds)
