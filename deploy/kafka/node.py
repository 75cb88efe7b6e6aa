"""One real Apache Kafka node (KRaft) on this machine, without Docker.

    python3 deploy/kafka/node.py start [--port 9092] [--data DIR]
    python3 deploy/kafka/node.py stop [--data DIR]

It listens on 127.0.0.1 without a password: for development, tests and demonstrations. Needs
Python's standard library, Java 17 and, the first time, Maven, which fetches Kafka's jars (43 MB)
into the user's cache. The data folder holds everything else: ``kafka.properties``, ``kafka.log``,
``kafka.pid`` and the topics, which survive a stop.
"""

import argparse
import fcntl
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
INSTALL = "deploy/install-system-packages.sh (or: apt-get install openjdk-17-jre-headless maven)"
JAVA_VERSION = 17
START_SECONDS = 60.0
STOP_SECONDS = 20.0
PORTS = (15_000, 30_000)
READY = "Kafka Server started"  # logged when the broker takes requests, and not before

# A small fast node: 2.4 s to start and 170 MB of memory where the defaults take 6 s and 380 MB.
JVM = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)
SETTINGS = {
    "node.id": "1",
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.bootstrap.servers": "127.0.0.1:{controller}",
    "listeners": "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.network.threads": "1",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    # One node: every topic, Kafka's own included, has one copy.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    # Groups form at once, and what a killed client left open is cleaned up in a second.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    # A node that was killed may come back soon: no other waits for its session to end.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # What is too old is deleted in a second, so that it shows in development, not in production.
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "1000",
}


_children: dict[int, "subprocess.Popen[bytes]"] = {}  # Python complains of forgotten ones


class NodeError(Exception):
    """The node cannot be started or stopped; the message says what to do."""


class Node(NamedTuple):
    """A running node; ``address`` is what clients bootstrap from."""

    address: str
    pid: int
    data: Path


def default_data() -> Path:
    """Where the node keeps its data unless told: the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "vitalwatch" / "kafka"


def start(
    data: Path,
    port: int = 0,
    *,
    settings: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
    owner: int | None = None,
) -> Node:
    """Start a node and return when it takes requests; one that runs on ``data`` is returned.

    ``port`` 0 takes a free one; the controller listens on the next. ``settings`` add to or
    replace those above, with ``{port}`` and ``{controller}`` filled in. ``users`` are SCRAM
    passwords by name, for a listener that asks for them. When the process ``owner`` ends,
    however it ends, the node is killed.
    """
    data = data.resolve()
    running = find(data)
    if running is not None:
        return running
    java, classpath = _java(), f"{jars()}/*"
    port = port or _free_port()
    for number in (port, port + 1):
        if not _is_free(number):
            raise NodeError(f"Port {number} is in use: choose another with --port.")
    _make(data, "choose another with --data")
    properties = data / "kafka.properties"
    lines = {"log.dirs": str(data / "topics"), **SETTINGS, **(settings or {})}
    filled = {k: v.format(port=port, controller=port + 1) for k, v in lines.items()}
    properties.write_text("".join(f"{key}={value}\n" for key, value in filled.items()))
    if not (data / "topics" / "meta.properties").exists():
        _format(java, classpath, properties, users or {})
    log = data / "kafka.log"
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"
    command = [java, *JVM, logging, "-cp", classpath, "kafka.Kafka", str(properties)]
    with log.open("wb") as output:
        # In a session of its own: Ctrl+C is for us, and we stop the node.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[process.pid] = process
    (data / "kafka.pid").write_text(f"{process.pid}\n")
    if owner is not None:
        _end_with(owner, process.pid)
    try:
        _wait_until_ready(process, log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Node(f"127.0.0.1:{port}", process.pid, data)


def find(data: Path) -> Node | None:
    """The node that runs on this data folder, if one does."""
    properties = data.resolve() / "kafka.properties"
    try:
        pid = int((data / "kafka.pid").read_text())
        port = re.search(r"^listeners=\w+://127\.0\.0\.1:(\d+)", properties.read_text(), re.M)
    except (OSError, ValueError):
        return None
    # The number may have gone to another program since.
    if port is None or str(properties) not in _command_line(pid):
        return None
    return Node(f"127.0.0.1:{port[1]}", pid, data.resolve())


def stop(data: Path, seconds: float = STOP_SECONDS) -> bool:
    """Stop the node on this data folder; False if none runs. After ``seconds`` it is killed."""
    node = find(data)
    if node is None:
        return False
    os.kill(node.pid, signal.SIGTERM if seconds > 0 else signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while find(data) is not None:
        if 0 < deadline < time.monotonic():
            os.kill(node.pid, signal.SIGKILL)
            deadline = 0
        time.sleep(0.05)
    (node.data / "kafka.pid").unlink(missing_ok=True)
    if node.pid in _children:
        _children.pop(node.pid).wait()
    return True


def _make(folder: Path, otherwise: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NodeError(f"Cannot make {folder}: {error.strerror}; {otherwise}.") from None


def jars() -> Path:
    """The folder of Kafka's jars; the first time Maven fills it."""
    pom = HERE / "pom.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitalwatch"
    folder = cache / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise NodeError(f"Maven is not installed: run {INSTALL}.")
    _make(cache, "set XDG_CACHE_HOME to a folder of yours")
    with (cache / "kafka.lock").open("w") as lock:  # several test processes may come at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        print("Fetching Apache Kafka (43 MB, only once) ...", file=sys.stderr)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
        done = subprocess.run(
            [maven, "-B", "-q", "-f", str(pom), *goal], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise NodeError("Maven cannot fetch Kafka: " + " ".join(errors[:2] or [done.stderr]))
        partial.rename(folder)
    return folder


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        raise NodeError(f"Java {JAVA_VERSION} is not installed: run {INSTALL}.")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', shown)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise NodeError(f"{java} is older than Java {JAVA_VERSION}: run {INSTALL}.")
    return java


def _format(java: str, classpath: str, properties: Path, users: Mapping[str, str]) -> None:
    cluster = hashlib.sha256(str(properties).encode()).hexdigest()[:22]
    tool = [java, *JVM, f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}", "-cp", classpath]
    tool += ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    tool += ["--standalone"]
    for name, password in users.items():
        tool += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NodeError(f"Kafka cannot prepare its data folder: {done.stderr or done.stdout}")


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while READY not in log.read_text(errors="replace"):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").splitlines()
            wrong = [line for line in lines if re.search(r"ERROR|FATAL|Exception", line)]
            how = "ended" if ended else f"is not ready after {START_SECONDS:.0f} s"
            said = "\n  ".join((wrong or lines)[-5:])
            raise NodeError(f"Kafka {how}; its log, {log}, says:\n  {said}")
        time.sleep(0.05)


def _end_with(owner: int, pid: int) -> None:
    """Kill ``pid`` when ``owner`` is gone, by a small process that ends with either."""
    script = 'while kill -0 "$0" && kill -0 "$1"; do sleep 1; done; kill -9 "$1"'
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", script, str(owner), str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _children[watcher.pid] = watcher


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return ""
    ps = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    """A free port whose successor is free too.

    It is none of those that systems give to connections: one of them could be taken until Kafka
    listens, or while a node is down that is to come back.
    """
    while True:
        port = random.randrange(*PORTS)
        if _is_free(port) and _is_free(port + 1):
            return port


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="deploy/kafka", description=(__doc__ or "").split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start the node, and return when it is ready")
    starting.add_argument("--port", type=int, default=9092, help="default: %(default)s")
    stopping = commands.add_parser("stop", help="stop the node")
    for command in (starting, stopping):
        command.add_argument(
            "--data", type=Path, default=default_data(), help="default: %(default)s"
        )
    parsed = parser.parse_args(arguments)
    try:
        if parsed.command == "stop":
            stopped = stop(parsed.data)
            print("Kafka has stopped." if stopped else f"No Kafka runs on {parsed.data}.")
            return 0
        node = start(parsed.data, parsed.port)
    except NodeError as error:
        print(error, file=sys.stderr)
        return 78
    print(f"Kafka is ready at {node.address} (log: {node.data / 'kafka.log'}).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
