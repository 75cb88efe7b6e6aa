"""A daemon on a real broker, scraped by a real Prometheus with the deployed rules."""

import json
import math
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from tests.deploy.site import (
    DEPLOY,
    TRACE,
    Collector,
    OnCall,
    Prometheus,
    alertmanager,
    dashboard,
    listening,
    prepared,
    program,
    prometheus,
    wait_for,
)
from tests.stream.test_daemon_process import Process


class Site(NamedTuple):
    prometheus: Prometheus
    on_call: OnCall
    collector: Collector
    daemon: Process
    flags: list[str]
    folder: Path


@pytest.fixture(scope="module")
def site(
    kafka_address: str, needs: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder, prefix, on_call = tmp_path_factory.mktemp("site"), f"site-{uuid.uuid4().hex}", OnCall()
    collector = Collector()
    local = "--web.listen-address=127.0.0.1:0"
    with ExitStack() as stack:
        settings = stack.enter_context(prepared(kafka_address, prefix))
        traces = f"http://127.0.0.1:{stack.enter_context(listening(collector))}/v1/traces"
        flags = [
            *("--kafka-bootstrap", kafka_address, "--topics-prefix", prefix),
            *("--daemon-group", prefix, "--daemon-snapshot-seconds", "1"),
            *("--monitoring-traces", traces, "--monitoring-log-format", "json"),
            "--monitoring-port",
        ]
        daemon = stack.enter_context(Process(folder, [*flags, "0"]))
        manager = stack.enter_context(
            program(
                folder,
                needs("prometheus-alertmanager", "prometheus"),
                f"--config.file={alertmanager(folder, stack.enter_context(listening(on_call)))}",
                f"--storage.path={folder / 'alertmanager'}",
                "--cluster.listen-address=",
                local,
            )
        )
        url = daemon.logged("metrics and health are served")["url"]
        daemon.wait_for(lambda: "partition taken over" in daemon.text())
        targets = {
            "vitalwatch": urlsplit(url).port or 0,
            "vitalwatch-dashboard": stack.enter_context(dashboard(settings)),
        }
        port = stack.enter_context(
            program(
                folder,
                needs("prometheus"),
                f"--config.file={prometheus(folder, targets, manager)}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                local,
            )
        )
        flags.append(str(targets["vitalwatch"]))
        yield Site(Prometheus(port), on_call, collector, daemon, flags, folder)


def panels() -> list[tuple[str, dict[str, Any]]]:
    """All panels of all dashboards, with a name that tells which."""
    files = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
    assert len(files) == 3
    return [
        (f"{file.stem}: {panel['title']}", panel)
        for file in files
        for panel in json.loads(file.read_text())["panels"]
    ]


def rules() -> list[dict[str, Any]]:
    files = [DEPLOY / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def test_every_query_of_every_dashboard_and_rule_returns_series(site: Site) -> None:
    queries = {
        f"{name}: {target['expr']}": target["expr"]
        for name, panel in panels()
        for target in panel["targets"]
    }
    queries |= {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for rule in rules():
        if "alert" in rule:
            site.prometheus.query(rule["expr"])  # as it is; what it asks for must be there, below
            for name in re.findall(r"\b(?:\w+:)?vitalwatch_\w+(?::\w+)?", rule["expr"]):
                queries[f"{rule['alert']}: {name}"] = name
    assert len(queries) > 80

    def unanswered() -> list[str]:
        left = []
        for name, query in queries.items():
            asked = query.replace("$job", "vitalwatch").replace("$__rate_interval", "10s")
            values = [float(series["value"][1]) for series in site.prometheus.query(asked)]
            if not values or all(map(math.isnan, values)):
                left.append(name)
        return left

    wait_for(lambda: not unanswered(), lambda: f"no series: {unanswered()}")


def test_its_traces_reach_a_collector_with_links_to_who_sent_the_readings(site: Site) -> None:
    span = wait_for(lambda: site.collector.spans)[0]
    assert span.name.startswith("process site-")
    assert {link.trace_id.hex() for link in span.links} == {TRACE}
    assert b"patient-" not in span.SerializeToString()


def test_a_killed_daemon_is_told_to_whoever_is_on_call_and_so_is_its_return(site: Site) -> None:
    up = 'up{job="vitalwatch"} == 1'
    wait_for(lambda: site.prometheus.query(up))
    assert site.on_call.heard("/on-call", "VitalWatchDown", "firing") is None
    assert site.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    told = wait_for(lambda: site.on_call.heard("/on-call", "VitalWatchDown", "firing"))
    assert told["labels"]["severity"] == "page"
    assert told["labels"]["instance"] in told["annotations"]["summary"]
    assert told["annotations"]["runbook_url"] == "deploy/runbook.md#vitalwatchdown"
    with Process(site.folder, site.flags):
        wait_for(lambda: site.on_call.heard("/on-call", "VitalWatchDown", "resolved"))
    assert "patient-" not in json.dumps(site.on_call.told)
