"""A site on one machine: daemon, readings, Prometheus, Alertmanager, and whoever is on call."""

import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from vitalwatch import config
from vitalwatch.dashboard.dashboard import Dashboard
from vitalwatch.stream import kafka, topics

DEPLOY = Path(__file__).parents[2] / "deploy"
SECONDS = 90.0
TICK_SECONDS = 0.1
TRACE = "0af7651916cd43dd8448eb211c80319c"
"""What all readings are sent in."""

EVENT_SECONDS = 10
PATIENTS = 8


def wait_for(done: Callable[[], Any], why: Callable[[], str] = str) -> Any:
    """Wait until it is so; what it says then."""
    end = time.monotonic() + SECONDS
    while not (found := done()):
        assert time.monotonic() < end, why()
        time.sleep(0.2)
    return found


@contextmanager
def program(folder: Path, *command: str | Path) -> Iterator[int]:
    """A program that is told to listen on a free port, which it says in its log."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:

            def port() -> re.Match[str] | None:
                assert process.poll() is None, log.read_text()
                return re.search(r"Listening on.*address=127\.0\.0\.1:(\d+)", log.read_text())

            yield int(wait_for(port, log.read_text)[1])
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextmanager
def readings(settings: config.Settings) -> Iterator[None]:
    """A ward that never stops: some are ill, some records are no readings; quicker than life."""
    stop = threading.Event()
    start = time.time() - 24 * 3600

    def send() -> None:
        with (
            closing(kafka.connect(settings.kafka)) as broker,
            closing(broker.publisher()) as publisher,
        ):
            tick = 0
            while not stop.wait(TICK_SECONDS):
                tick += 1
                ms = round((start + EVENT_SECONDS * tick) * 1000)
                for number in range(PATIENTS):
                    ill = (tick // 20) % PATIENTS == number
                    vitals = {"hr": 70 + number + tick % 5, "spo2": 74 if ill else 97}
                    vitals |= {"rr": 15, "sbp": 120, "dbp": 75, "map": 90, "temp": 37, "etco2": 38}
                    patient = f"patient-{number}"
                    reading = {"patient": patient, "time": ms, "vitals": {**vitals, "mood": 1}}
                    value = msgspec.json.encode(reading) if tick % 10 or number else b"HR 80"
                    topic = settings.topics.readings
                    headers = [("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode())]
                    publisher.send(topic, patient.encode(), value, timestamp=ms, headers=headers)
                publisher.flush()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def prepared(address: str, prefix: str) -> Iterator[config.Settings]:
    """The topics, with readings coming in."""
    settings = config.Settings(
        kafka=config.Kafka(bootstrap=address), topics=config.Topics(prefix=prefix, partitions=2)
    )
    with closing(kafka.connect(settings.kafka)) as broker:
        broker.create(topics.specs(settings.topics))
    with readings(settings):
        yield settings


@contextmanager
def dashboard(settings: config.Settings) -> Iterator[int]:
    """A dashboard of that stream; the port that it tells of itself on."""
    own = msgspec.structs.replace(settings, dashboard=config.Dashboard(port=0))
    with Dashboard.of_stream(own, lambda: kafka.connect(own.kafka)) as shown:
        yield urllib.parse.urlsplit(shown.url).port or 0


@contextmanager
def listening(heard: Callable[[str, bytes], None]) -> Iterator[int]:
    """Take whatever is posted, by path and body; on which port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class OnCall:
    """Receives Alertmanager's messages, by path."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, path: str, body: bytes) -> None:
        self.told.append((path, json.loads(body)))

    def heard(self, path: str, alert: str, status: str) -> dict[str, Any] | None:
        """A message of this alert, if one has come."""
        for at, message in self.told:
            if at == path and message["status"] == status:
                for each in message["alerts"]:
                    if each["labels"]["alertname"] == alert:
                        found: dict[str, Any] = each
                        return found
        return None


class Collector:
    """Receives spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def __call__(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Its series now; fails where it is no PromQL."""
        url = f"{self._url}/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None
        return result


def alertmanager(folder: Path, on_call: int) -> Path:
    """The deployed configuration, but quick, and with the addresses of this machine."""
    made = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    for route in (made["route"], *made["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    for receiver in made["receivers"]:
        for hook in receiver["webhook_configs"]:
            path = urllib.parse.urlsplit(hook["url"]).path
            hook["url"] = f"http://127.0.0.1:{on_call}{path}"
    return _written(folder / "alertmanager.yml", made)


def prometheus(folder: Path, targets: dict[str, int], alertmanager: int) -> Path:
    """The same; ``targets`` are ports by job."""
    deployed = DEPLOY / "prometheus"
    for name in ("recording.yml", "alerts.yml"):
        rules = yaml.safe_load((deployed / name).read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = "1s"
        _written(folder / name, rules)
    made = yaml.safe_load((deployed / "prometheus.yml").read_text())
    made["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (managers,) = made["alerting"]["alertmanagers"]
    managers["static_configs"] = [{"targets": [f"127.0.0.1:{alertmanager}"]}]
    assert [job["job_name"] for job in made["scrape_configs"]] == list(targets)
    for job in made["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    return _written(folder / "prometheus.yml", made)


def _written(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path
