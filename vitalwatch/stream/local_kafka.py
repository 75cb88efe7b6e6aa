"""A real Kafka node on this machine, for demonstrations and tests; needs a checkout."""

import functools
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vitalwatch
from vitalwatch.errors import BrokerError


@functools.cache  # it remembers the processes that it started
def node() -> Any:
    """The module ``deploy/kafka/node.py``, which stands alone so that it needs no installation."""
    path = Path(vitalwatch.__file__).parents[1] / "deploy" / "kafka" / "node.py"
    spec = importlib.util.spec_from_file_location("vitalwatch_kafka_node", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BrokerError(
            "A Kafka node of its own needs a checkout of the repository, with deploy/kafka: "
            "run it there, or do without --kafka."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def running(data: Path) -> Iterator[str]:
    """The address of a node that runs on the folder ``data`` while inside, and not longer."""
    module = node()
    try:
        address: str = module.start(data, owner=os.getpid()).address
    except module.NodeError as cause:
        raise BrokerError(str(cause)) from cause
    try:
        yield address
    finally:
        module.stop(data)
