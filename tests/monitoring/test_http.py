import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from vitalwatch.errors import ConfigurationError
from vitalwatch.monitoring.http import STUCK_SECONDS, Health, Server
from vitalwatch.monitoring.metrics import Metrics

METRICS = (
    "vitalwatch_readings_scored",
    "vitalwatch_scoring_seconds",
    "vitalwatch_consumer_lag_records",
    "vitalwatch_alerts",
    "vitalwatch_dead_letters",
    "vitalwatch_patients_held",
    "vitalwatch_readings_late",
    "vitalwatch_unknown_vitals",
    "vitalwatch_patients_in_alarm_ratio",
    "vitalwatch_model_info",
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(["model", "partitions"], clock)


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics(CollectorRegistry())
    metrics.model("abc")
    return metrics


@pytest.fixture
def server(metrics: Metrics, health: Health) -> Iterator[Server]:
    with Server("127.0.0.1", 0, metrics.registry, health) as server:
        yield server


def get(url: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_metrics_parse_as_prometheus_text(server: Server, metrics: Metrics) -> None:
    metrics.scored(3, 0.01)
    status, content_type, body = get(f"{server.url}/metrics")
    assert status == 200
    assert content_type.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert set(METRICS) <= families.keys()
    assert families["vitalwatch_readings_scored"].samples[0].value == 3


def test_it_is_ready_once_every_condition_holds(server: Server, health: Health) -> None:
    health.report("model", ok=True, detail="abc")
    status, content_type, body = get(f"{server.url}/readyz")
    assert (status, content_type) == (503, "application/json")
    assert json.loads(body) == {
        "ready": False,
        "conditions": {
            "model": {"ok": True, "detail": "abc"},
            "partitions": {"ok": False, "detail": "not yet"},
        },
    }
    health.report("partitions", ok=True, detail="8 assigned")
    assert get(f"{server.url}/readyz")[0] == 200
    health.report("partitions", ok=False, detail="none assigned")
    assert get(f"{server.url}/readyz")[0] == 503


def test_it_lives_while_the_loop_goes_round(server: Server, health: Health, clock: Clock) -> None:
    clock.now = STUCK_SECONDS - 1
    assert get(f"{server.url}/livez")[0] == 200
    clock.now = STUCK_SECONDS + 1
    status, _, body = get(f"{server.url}/livez")
    assert status == 503
    assert json.loads(body)["live"] is False
    health.beat()
    assert get(f"{server.url}/livez")[0] == 200


def test_health_is_among_the_metrics(server: Server, health: Health, clock: Clock) -> None:
    health.report("model", ok=True, detail="abc")
    clock.now = STUCK_SECONDS + 1
    lines = get(f"{server.url}/metrics")[2].splitlines()
    assert 'vitalwatch_ready{condition="model"} 1.0' in lines
    assert 'vitalwatch_ready{condition="partitions"} 0.0' in lines
    assert "vitalwatch_live 0.0" in lines
    health.beat()
    assert "vitalwatch_live 1.0" in get(f"{server.url}/metrics")[2].splitlines()


def test_an_unknown_condition_is_a_mistake_of_the_caller(health: Health) -> None:
    with pytest.raises(KeyError):
        health.report("modle", ok=True, detail="")


def test_an_unknown_path_tells_which_there_are(server: Server) -> None:
    status, _, body = get(f"{server.url}/patients")
    assert status == 404
    assert "/metrics /livez /readyz" in body


def test_a_port_in_use_is_a_configuration_error(server: Server, health: Health) -> None:
    with pytest.raises(ConfigurationError, match=r"Address already in use.*--monitoring-port"):
        Server("127.0.0.1", server.port, CollectorRegistry(), health)


def test_an_address_of_another_machine_is_a_configuration_error(health: Health) -> None:
    with pytest.raises(ConfigurationError, match="Cannot listen on"):
        Server("192.0.2.1", 0, CollectorRegistry(), health)


def test_nothing_listens_any_more_once_it_is_left(metrics: Metrics, health: Health) -> None:
    with Server("127.0.0.1", 0, metrics.registry, health) as server:
        port = server.port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_client_that_says_nothing_keeps_nobody_waiting(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert get(f"{server.url}/livez")[0] == 200


def _query(port: int, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression})
    status, _, body = get(f"http://127.0.0.1:{port}/api/v1/query?{query}")
    return list(json.loads(body)["data"]["result"]) if status == 200 else []


def test_a_real_prometheus_scrapes_it(
    server: Server, metrics: Metrics, tmp_path: Path, needs: Callable[..., str]
) -> None:
    program = needs("prometheus")
    metrics.scored(42, 0.01)
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: vitalwatch\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n"
    )
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    log = tmp_path / "prometheus.log"
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            deadline = time.monotonic() + 60
            port, result = 0, list[dict[str, Any]]()
            while not result and time.monotonic() < deadline:
                time.sleep(0.2)
                if found := re.search(r"Listening on.*address=127\.0\.0\.1:(\d+)", log.read_text()):
                    port = int(found[1])
                    result = _query(port, "vitalwatch_readings_scored_total")
            assert result, log.read_text()
            assert result[0]["value"][1] == "42"
            assert _query(port, "up")[0]["value"][1] == "1"
        finally:
            process.terminate()
            process.wait(timeout=20)
