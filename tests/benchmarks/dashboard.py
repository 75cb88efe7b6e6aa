"""One dashboard server: how fast it reads what has been, and what it costs with many pages open."""

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import numpy as np

from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target
from tests.dashboard.stream import PARTITIONS, Client, Stream, now
from vitalwatch import config
from vitalwatch.stream import kafka, topics

PATIENTS = 500
PAGES = 50
VITALS = {"hr": 71.0, "spo2": 97.0, "rr": 16.0, "sbp": 121.0, "map": 86.0}
PARTS = 10
"""A second's readings come in so many transactions: each patient at a moment of his own."""

_TICKS = os.sysconf("SC_CLK_TCK")
_LIMIT_SECONDS = 300.0


def measure(context: Context) -> list[Figure]:
    """Catching up on what has been, then a ward of 500 at one reading a second on 50 pages."""
    small = context.size.runs == 1
    history = min(context.size.readings, 300_000)
    seconds = context.size.latency_seconds / (3 if small else 1)
    names = config.Topics(prefix=context.name("watching"), partitions=PARTITIONS)
    with ExitStack() as stack:
        settings = config.Kafka(bootstrap=context.cluster.address)
        broker = stack.enter_context(closing(kafka.connect(settings)))
        broker.create(topics.specs(names))
        stream = stack.enter_context(closing(Stream(broker, names, names.prefix)))
        patients = [f"p{number}" for number in range(PATIENTS)]
        context.say(f"watching: writing {history:,} readings with their scores")
        rounds = max(history // PATIENTS, 1)
        begin = now() - (rounds + 60) * 1000
        for each in range(rounds):
            stream.readings([(name, begin + each * 1000, VITALS) for name in patients])
        with context.undisturbed():
            server, url, began = stack.enter_context(_server(context, names.prefix))
            client = Client(url)
            _reached(client, "readings", rounds * PATIENTS)
            caught_up = time.monotonic() - began
            context.say(f"watching: {PATIENTS} patients on {PAGES} pages for {seconds:.0f} s")
            latency, cpu = _watched(stream, client, patients, server, seconds)
            memory = _resident(server)
    return [
        Figure(
            "dashboard: readings with scores read from the past, start and all",
            [rounds * PATIENTS / caught_up],
            "readings/s",
        ),
        Figure(
            f"dashboard: commit to page, 99 %, {PATIENTS} patients at 1 Hz, {PAGES} pages",
            [float(np.percentile(latency, 99))],
            "s",
            Target("≤", 1.0),
        ),
        Figure("dashboard: the same, median", [float(np.median(latency))], "s"),
        Figure("dashboard: cores that its server takes of that", [cpu], "", Target("≤", 1.0)),
        Figure("dashboard: memory of its server", [memory / 2**20], "MiB"),
    ]


@contextmanager
def _server(context: Context, prefix: str) -> Iterator[tuple[int, str, float]]:
    """The process's number, its address and when it said it."""
    command = [sys.executable, "-m", "vitalwatch.commands.main", "dashboard"]
    flags = ["--kafka-bootstrap", context.cluster.address, "--topics-prefix", prefix]
    log = (context.folder / f"{prefix}.log").open("wb")
    with (
        log,
        subprocess.Popen(
            [*command, *flags, "--dashboard-port", "0"], stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            yield process.pid, line.partition(": ")[2].strip(), time.monotonic()
        finally:
            process.terminate()


def _reached(client: Client, kind: str, count: int) -> None:
    end = time.monotonic() + _LIMIT_SECONDS
    label = f'vitalwatch_dashboard_records_total{{kind="{kind}"}} '.encode()
    while time.monotonic() < end:
        page = client.get("/metrics")[1]
        if float(page.partition(label)[2].partition(b"\n")[0] or 0) >= count:
            return
        time.sleep(0.05)
    raise RuntimeError("the dashboard does not catch up")


def _watched(
    stream: Stream, client: Client, patients: list[str], server: int, seconds: float
) -> tuple[list[float], float]:
    """Seconds from commit to page, by transaction; and the cores that the server took."""
    committed: dict[str, tuple[int, float]] = {}
    latency: list[float] = []
    over = threading.Event()
    with ExitStack() as stack:
        pages = [stack.enter_context(_connected(client)) for _ in range(PAGES - 1)]
        page = stack.enter_context(client.page())
        keys = {each["key"]: each["label"] for each in page.ready(_whole)["patients"]}
        threads = [
            threading.Thread(target=_drain, args=(pages, over)),
            threading.Thread(target=_write, args=(stream, patients, committed, seconds, over)),
        ]
        before, began = _cpu(server), time.monotonic()
        for thread in threads:
            thread.start()
        while not over.is_set():
            name, content = page.next()
            if name != "numbers":
                continue
            seen = time.monotonic()
            for key, moment, *_ in content["p"]:
                told, at = committed.get(keys[key], (0, 0.0))
                if told == moment:
                    latency.append(seen - at)
                    del committed[keys[key]]
        used = (_cpu(server) - before) / (time.monotonic() - began)
        for thread in threads:
            thread.join()
    return latency, used


def _whole(ward: dict[str, list[object]]) -> bool:
    return len(ward["patients"]) == PATIENTS


def _write(
    stream: Stream,
    patients: list[str],
    committed: dict[str, tuple[int, float]],
    seconds: float,
    over: threading.Event,
) -> None:
    """A reading a second of each patient; the first of each transaction is timed."""
    begun = time.monotonic()
    for part in range(round(seconds * PARTS)):
        time.sleep(max(0.0, begun + part / PARTS - time.monotonic()))
        chosen, moment = patients[part % PARTS :: PARTS], now()
        stream.readings([(name, moment, VITALS) for name in chosen])
        committed[chosen[0]] = moment, time.monotonic()
    over.set()


@contextmanager
def _connected(client: Client) -> Iterator[socket.socket]:
    host, port = client.host.split(":")
    with socket.create_connection((host, int(port))) as page:
        page.sendall(f"GET /api/events HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode())
        yield page


def _drain(pages: list[socket.socket], over: threading.Event) -> None:
    while not over.is_set():
        for page in select.select(pages, [], [], 0.1)[0]:
            page.recv(1 << 20)


def _cpu(process: int) -> float:
    with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(process: int) -> int:
    with open(f"/proc/{process}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
