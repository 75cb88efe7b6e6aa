"""What the server lets in, says and keeps to itself; on the in-process log."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.dashboard.stream import Client, Stream, now
from vitalwatch import config
from vitalwatch.dashboard import clients, event_stream
from vitalwatch.dashboard.dashboard import Dashboard
from vitalwatch.errors import BrokerError, ConfigurationError
from vitalwatch.stream import topics
from vitalwatch.stream.memory import MemoryBroker

VIEW, ACKNOWLEDGE = "view-" + "v" * 16, "acknowledge-" + "a" * 16
SCRIPT = "<script>alert(1)</script>"
ACK = {"alert_id": "a", "name": "Joy"}


def with_dashboard(settings: config.Settings, **changes: Any) -> config.Settings:
    return msgspec.structs.replace(
        settings, dashboard=msgspec.structs.replace(settings.dashboard, **changes)
    )


def shown(settings: config.Settings, broker: MemoryBroker, **changes: Any) -> Dashboard:
    """A dashboard of a patient whose name is a script, with one alert."""
    stream = Stream(broker, settings.topics, "w")
    stream.read(SCRIPT, now(), hr=60.0)
    stream.alert(SCRIPT, now(), alert_id="a")
    return Dashboard.of_stream(with_dashboard(settings, **changes), lambda: broker)


@pytest.fixture
def dashboard(settings: config.Settings, memory: MemoryBroker) -> Iterator[Dashboard]:
    with shown(settings, memory) as dashboard, Client(dashboard.url).page() as page:
        page.ready(lambda ward: ward["patients"])
        yield dashboard


def test_every_answer_forbids_what_is_not_the_pages_own(dashboard: Dashboard) -> None:
    for path in ("/", "/api/me", "/nothing"):
        headers = Client(dashboard.url).ask("GET", path)[2]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_a_script_in_a_patients_identifier_is_passed_on_as_text(dashboard: Dashboard) -> None:
    client = Client(dashboard.url)
    with client.page() as page:
        patient = page.ready(lambda ward: ward["patients"])["patients"][0]
    assert patient["label"] == SCRIPT
    assert re.fullmatch("[0-9a-f]{16}", patient["key"])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (ACK, {}, 201),
        ({**ACK, "name": "  "}, {}, 400),
        ({**ACK, "name": "n" * 81}, {}, 400),
        ({**ACK, "note": "n" * 501}, {}, 400),
        ({**ACK, "note": "n" * 20_000}, {}, 413),
        ({**ACK, "alert_id": "another"}, {}, 404),
        ({**ACK, "more": 1}, {}, 400),
        (b"not json", {}, 400),
        (b"[" * 10_000, {}, 400),
        (ACK, {"Content-Type": "text/plain"}, 415),
        (ACK, {"Origin": "http://evil.example"}, 403),
        (ACK, {"Sec-Fetch-Site": "cross-site"}, 403),
        (ACK, {"Host": "evil.example"}, 401),
    ],
)
def test_only_a_proper_acknowledgement_is_taken(
    dashboard: Dashboard, body: Any, headers: dict[str, str], status: int
) -> None:
    got, answer = Client(dashboard.url).post("/api/acks", body, **headers)
    assert got == status
    assert status == 201 or answer["error"].endswith(".")


def test_a_page_of_another_address_is_let_in_by_no_name(dashboard: Dashboard) -> None:
    assert Client(dashboard.url).get("/api/events", Host="rebound.example")[0] == 401


def test_another_address_needs_a_token_or_a_proxy(settings: config.Settings) -> None:
    for changes in ({}, {"view_token": "short"}):
        with pytest.raises(ConfigurationError, match=r"TOKEN|view_token"):
            Dashboard.of_stream(with_dashboard(settings, host="0.0.0.0", **changes), MemoryBroker)


def test_tokens_let_in_by_role_and_never_stand_in_an_address(
    settings: config.Settings, memory: MemoryBroker
) -> None:
    tokens = {"view_token": VIEW, "acknowledge_token": ACKNOWLEDGE}
    with shown(settings, memory, host="0.0.0.0", **tokens) as dashboard:
        url = dashboard.url.replace("0.0.0.0", "127.0.0.1")
        anybody = Client(url)
        assert anybody.get("/")[0] == 200
        for path in ("/api/me", "/api/events", "/api/vitals", "/metrics"):
            assert anybody.get(path)[0] == 401
        assert anybody.get(f"/api/me?token={VIEW}")[0] == 401
        assert anybody.post("/api/session", {"token": "guess"})[0] == 401
        for token, role in ((VIEW, "view"), (ACKNOWLEDGE, "acknowledge")):
            status, _, headers = anybody.ask("POST", "/api/session", {"token": token})
            cookie = headers["Set-Cookie"]
            assert status == 200
            assert "HttpOnly" in cookie
            assert "samesite=strict" in cookie.lower()
            assert token not in cookie
            client = Client(url, {"Cookie": cookie.partition(";")[0]})
            assert client.get("/api/me")[1]["role"] == role
            with client.page() as page:
                page.ready(lambda ward: ward["alerts"])
            assert client.post("/api/acks", ACK)[0] == (201 if role == "acknowledge" else 403)
            # Nothing is replayed here; but who may only look is told so first.
            steered = client.post("/api/replay", {"action": "pause"})[0]
            assert steered == (404 if role == "acknowledge" else 403)
            forged = cookie.partition(";")[0].replace(role, "acknowledge")[:-1]
            assert Client(url, {"Cookie": forged}).get("/api/me")[0] == 401
        assert Client(url, {"Authorization": f"Bearer {VIEW}"}).get("/metrics")[0] == 200


def test_a_proxys_header_is_believed_of_the_proxy_alone(
    settings: config.Settings, memory: MemoryBroker
) -> None:
    proxy = {"proxy_header": "X-User", "proxy_acknowledge": "joy"}
    with shown(settings, memory, **proxy) as dashboard:
        joy, ann = (Client(dashboard.url, {"X-User": name}) for name in ("joy", "ann"))
        assert [each.get("/api/me")[1]["role"] for each in (joy, ann)] == ["acknowledge", "view"]
        assert Client(dashboard.url).get("/api/me")[0] == 401
        with joy.page() as page:
            page.ready(lambda ward: ward["alerts"])
        status, told = joy.post("/api/acks", {**ACK, "name": "somebody else"})
        assert (status, told["name"]) == (201, "joy")
    with shown(settings, memory, **proxy, proxy_addresses="10.0.0.1") as dashboard:
        assert Client(dashboard.url, {"X-User": "joy"}).get("/api/me")[0] == 401


def test_fifty_pages_get_the_same_events_and_one_that_never_reads_is_dropped(
    settings: config.Settings, memory: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "BEHIND_SECONDS", 1.0)
    monkeypatch.setattr(event_stream, "BEHIND_SECONDS", 1.0)
    with shown(settings, memory) as dashboard:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = Client(dashboard.url).host.split(":")
        deaf.connect((host, int(port)))
        deaf.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        client = Client(dashboard.url)
        told: list[Any] = []

        def watch() -> None:
            with client.page() as page:
                page.ready()
                ready.release()
                told.append(page.until("alert", lambda alert: alert["alert_id"] == "last"))

        ready = threading.Semaphore(0)
        pages = [threading.Thread(target=watch) for _ in range(50)]
        for each in pages:
            each.start()
        for _ in pages:
            assert ready.acquire(timeout=20)
        stream = Stream(memory, settings.topics, "w")
        end = time.monotonic() + 20
        while b"clients_dropped_total 1.0" not in client.get("/metrics")[1]:
            assert time.monotonic() < end
            for number in range(20):
                stream.alert(SCRIPT, now(), alert_id=f"{number}", sentence="x" * 20_000)
            time.sleep(0.05)
        stream.alert(SCRIPT, now(), alert_id="last")
        for each in pages:
            each.join(20)
        assert len(told) == 50
        assert b"vitalwatch_dashboard_clients 0.0" in client.get("/metrics")[1]
        deaf.close()


def test_a_broker_that_is_away_is_said_and_what_came_meanwhile_is_shown(
    settings: config.Settings, memory: MemoryBroker
) -> None:
    away = threading.Event()

    class Unsteady(MemoryBroker):
        def __getattribute__(self, name: str) -> Any:
            if away.is_set() and name in ("_changed", "topics"):
                raise BrokerError("The broker at 127.0.0.1:1 does not answer.")
            return super().__getattribute__(name)

    broker = Unsteady()
    broker.create(topics.specs(settings.topics))
    with shown(settings, broker) as dashboard, Client(dashboard.url).page() as page:
        page.ready(lambda ward: ward["alerts"])
        stream = Stream(broker, settings.topics, "w")
        away.set()
        lost = page.until("source", lambda source: source["state"] == "lost")
        assert "does not answer" in lost["sentence"]
        assert Client(dashboard.url).post("/api/acks", ACK)[0] == 503
        away.clear()
        stream.alert(SCRIPT, now(), alert_id="meanwhile")
        assert page.until("alert")["alert_id"] == "meanwhile"
        page.until("source", lambda source: source["state"] == "ok")


def test_alerts_are_found_by_filters_and_exported_as_they_were_published(
    dashboard: Dashboard, settings: config.Settings, memory: MemoryBroker
) -> None:
    stream = Stream(memory, settings.topics, "w2")
    client = Client(dashboard.url)
    with client.page() as page:
        page.ready()
        told = stream.alert("bed-2", now(), alert_id="t", kind="technical", priority="low")
        page.until("alert")

    def found(**query: Any) -> list[str]:
        return [alert["alert_id"] for alert in client.post("/api/alerts", query)[1]["alerts"]]

    assert found() == ["t", "a"]
    assert found(kinds=["technical"]) == ["t"]
    assert found(priorities=["medium"]) == ["a"]
    assert found(search="BED-2") == ["t"]
    assert found(acknowledged=True) == []
    assert client.post("/api/alerts", {"limit": 1})[1]["more"] is True
    status, content = client.post("/api/alerts/export", {"alert_id": "t"})
    assert (status, msgspec.json.decode(content)) == (200, msgspec.to_builtins(told))


def test_a_taken_port_is_said(settings: config.Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="--dashboard-port"):
            Dashboard.of_stream(with_dashboard(settings, port=port), MemoryBroker)


def test_it_ends_at_once_with_pages_open(settings: config.Settings, memory: MemoryBroker) -> None:
    with shown(settings, memory) as dashboard:
        connection = http.client.HTTPConnection(Client(dashboard.url).host, timeout=20)
        connection.request("GET", "/api/events")
        response = connection.getresponse()
        began = time.monotonic()
    assert time.monotonic() - began < 5
    response.read()
    connection.close()
