"""Whatever keeps a program from the broker is named, with what to do, within seconds."""

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from vitalwatch.commands import main
from vitalwatch.config import Kafka
from vitalwatch.errors import BrokerError, ConfigurationError
from vitalwatch.stream import kafka_batches
from vitalwatch.stream.broker import RecordBatch, TopicPartition, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker, connect

Name = Callable[[str], str]
DEADLINE = 5.0
TLS_SETTINGS = {
    "listeners": "SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
    "listener.security.protocol.map": "CONTROLLER:SSL,SASL_SSL:SASL_SSL",
    "inter.broker.listener.name": "SASL_SSL",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="admin" password="admin-secret";'
    ),
    "listener.name.controller.ssl.client.auth": "required",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:admin;User:CN=localhost",
}


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """``ca.crt``, a broker's ``broker.pem`` signed by it, and ``other.crt`` that signed nothing."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for ca in ("ca", "other"):
        files = ["-keyout", f"{folder}/{ca}.key", "-out", f"{folder}/{ca}.crt"]
        openssl("req", "-x509", *curve, *files, "-days", "2", "-subj", f"/CN={ca}")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", f"{folder}/broker.key", "-out", f"{folder}/broker.csr"]
    openssl("req", *curve, *files, "-subj", "/CN=localhost", "-addext", names)
    signer = ["-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key", "-CAcreateserial"]
    files = ["-in", f"{folder}/broker.csr", "-out", f"{folder}/broker.crt"]
    openssl("x509", "-req", *files, *signer, "-days", "2", "-copy_extensions", "copy")
    chain = [(folder / name).read_text() for name in ("broker.key", "broker.crt", "ca.crt")]
    (folder / "broker.pem").write_text("".join(chain))


@pytest.fixture(scope="module")
def secure(
    start_kafka: Callable[..., str],
    needs: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Kafka:
    """A broker that wants TLS and a login, and user ``ward`` of it, who may do nothing yet."""
    needs("openssl")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    settings = {
        **TLS_SETTINGS,
        "ssl.keystore.location": f"{folder}/broker.pem",
        "ssl.truststore.location": f"{folder}/ca.crt",
    }
    users = {"admin": "admin-secret", "ward": "ward-secret"}
    # One for each process: its certificates are in this process's folder.
    address = start_kafka(f"secure-{folder.parent.name}", settings=settings, users=users)
    return Kafka(
        bootstrap=address,
        security_protocol="SASL_SSL",
        username="ward",
        password="ward-secret",
        ca_file=f"{folder}/ca.crt",
    )


@pytest.fixture(scope="module")
def admin(secure: Kafka) -> Iterator[KafkaBroker]:
    settings = msgspec.structs.replace(secure, username="admin", password="admin-secret")
    broker = connect(settings)
    yield broker
    broker.close()


@pytest.fixture
def ward(secure: Kafka) -> Iterator[KafkaBroker]:
    broker = connect(secure)
    yield broker
    broker.close()


def allow(admin: KafkaBroker, kind: ResourceType, name: str, *operations: str) -> None:
    client: KafkaAdminClient = admin._admin
    client.create_acls(
        [
            ACL(
                "User:ward",
                "*",
                ACLOperation[operation],
                ACLPermissionType.ALLOW,
                ResourcePattern(kind, name, ACLResourcePatternType.LITERAL),
            )
            for operation in operations
        ]
    )


class Answering:
    """Something on a port that gives one connection these answers, as Kafka frames them."""

    def __init__(self, *answers: bytes, framed: bool = True) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._answers = answers
        self._framed = framed
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> str:
        self._thread.start()
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            for answer in self._answers:
                connection.recv(4096)
                head = struct.pack(">ii", len(answer) + 4, 1) if self._framed else b""
                connection.sendall(head + answer)


def cause(settings: Kafka) -> str:
    """The one sentence for these settings."""
    start = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        connect(settings)
    assert time.monotonic() - start < DEADLINE
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence


class TestAddress:
    def test_a_closed_port(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{closed.getsockname()[1]}"
            assert f"No broker listens at {address}" in cause(Kafka(bootstrap=address))

    def test_an_unknown_machine(self) -> None:
        said = cause(Kafka(bootstrap="no-such-machine.invalid:9092"))
        assert "no machine named no-such-machine.invalid" in said

    @pytest.mark.parametrize("name", ["a..b", "a" * 70])
    def test_a_name_that_no_machine_can_have(self, name: str) -> None:
        assert f"no machine named {name}" in cause(Kafka(bootstrap=f"{name}:9092"))

    def test_something_that_is_silent(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            assert "does not answer" in cause(Kafka(bootstrap=address))

    def test_something_that_is_not_kafka(self) -> None:
        with Answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", framed=False) as address:
            assert "may not be Kafka" in cause(Kafka(bootstrap=address))

    def test_the_second_address_is_used_where_the_first_is_down(self, kafka_address: str) -> None:
        connect(Kafka(bootstrap=f"127.0.0.1:1,{kafka_address}")).close()

    def test_a_controller_instead_of_a_broker(self, kafka_address: str) -> None:
        host, port = kafka_address.split(":")
        said = cause(Kafka(bootstrap=f"{host}:{int(port) + 1}"))
        assert "controller" in said

    def test_an_advertised_address_that_leads_nowhere(self) -> None:
        host = b"no-such-machine.invalid"
        broker = struct.pack(">ih", 1, len(host)) + host + struct.pack(">ih", 9092, -1)
        with Answering(struct.pack(">hi", 0, 0), struct.pack(">i", 1) + broker) as address:
            said = cause(Kafka(bootstrap=address))
        assert "no-such-machine.invalid:9092" in said
        assert "advertised.listeners" in said

    def test_the_command_line_says_it_and_ends_with_78(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main.main(["topics", "check", "--kafka-bootstrap", "127.0.0.1:1"]) == 78
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("vitalwatch: No broker listens at 127.0.0.1:1")


class TestRecords:
    def test_a_compression_that_is_not_installed(
        self, kafka: KafkaBroker, name: Name, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = ("lz4", lambda: False, lambda _: b"")
        monkeypatch.setitem(kafka_batches._CODECS, 3, missing)
        topic = name("topic")
        kafka.create([TopicSpec(topic, 1, {"compression.type": "lz4"})])
        publisher = kafka.publisher()
        publisher.send(topic, b"k", b"v")
        publisher.close()
        with pytest.raises(BrokerError, match=r"pip install 'kafka-python\["):
            list(kafka.read(TopicPartition(topic, 0), 0))


class TestEncryption:
    def test_the_right_settings_work(self, ward: KafkaBroker) -> None:
        assert ward.topics(["any"]) == {}

    def test_megabytes_come_whole(self, admin: KafkaBroker, name: Name) -> None:
        topic = name("topic")
        admin.create([TopicSpec(topic, 1, {"max.message.bytes": str(8 * 2**20)})])
        publisher = admin.publisher()
        values = [bytes([i]) * 3 * 2**20 for i in range(3)]
        for value in values:
            publisher.send(topic, b"k", value)
        publisher.close()
        batches = list(admin.read(TopicPartition(topic, 0), 0))
        assert [value for batch in batches for value in batch.values] == values

    def test_plaintext_to_a_tls_port(self, secure: Kafka) -> None:
        assert "speaks TLS" in cause(Kafka(bootstrap=secure.bootstrap))

    def test_tls_to_a_plaintext_port(self, secure: Kafka, kafka_address: str) -> None:
        settings = msgspec.structs.replace(secure, bootstrap=kafka_address)
        assert "does not speak TLS" in cause(settings)

    def test_the_wrong_authority(self, secure: Kafka) -> None:
        other = secure.ca_file.replace("ca.crt", "other.crt")
        said = cause(msgspec.structs.replace(secure, ca_file=other))
        assert "cannot be verified" in said
        assert "kafka.ca_file" in said

    def test_no_authority(self, secure: Kafka) -> None:
        assert "cannot be verified" in cause(msgspec.structs.replace(secure, ca_file=""))

    def test_a_name_that_the_certificate_does_not_have(self, secure: Kafka) -> None:
        port = secure.bootstrap.split(":")[1]
        said = cause(msgspec.structs.replace(secure, bootstrap=f"127.0.0.2:{port}"))
        # Linux takes all of 127.0.0.0/8 for this machine, but nothing listens on another address.
        assert "No broker listens" in said or "cannot be verified" in said

    def test_a_file_that_is_missing(self) -> None:
        settings = Kafka(security_protocol="SSL", ca_file="/no/such/file.pem")
        assert "no file /no/such/file.pem: correct kafka.ca_file" in cause(settings)

    def test_a_file_that_is_no_certificate(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("not a certificate")
        settings = Kafka(security_protocol="SSL", ca_file=str(tmp_path / "ca.pem"))
        assert "no certificate in PEM form" in cause(settings)

    def test_a_certificate_with_anothers_key(self, secure: Kafka) -> None:
        folder = Path(secure.ca_file).parent
        files = {"cert_file": f"{folder}/broker.crt", "key_file": f"{folder}/ca.key"}
        assert "are no pair" in cause(msgspec.structs.replace(secure, **files))


class TestLogin:
    @pytest.mark.parametrize("wrong", [{"password": "guess"}, {"username": "nobody"}])
    def test_a_wrong_name_or_password(self, secure: Kafka, wrong: dict[str, str]) -> None:
        settings = msgspec.structs.replace(secure, **wrong)
        said = cause(settings)
        assert f"refuses the SCRAM-SHA-512 login of user {settings.username!r}" in said
        assert settings.password not in said

    def test_a_mechanism_that_is_off(self, secure: Kafka) -> None:
        said = cause(msgspec.structs.replace(secure, sasl_mechanism="PLAIN"))
        assert "does not take PLAIN logins but SCRAM-SHA-512" in said

    def test_no_login_where_one_is_asked_for(self, secure: Kafka) -> None:
        said = cause(msgspec.structs.replace(secure, security_protocol="SSL"))
        assert "ask for a login" in said

    def test_a_login_where_none_is_asked_for(self, secure: Kafka, kafka_address: str) -> None:
        plain = {"bootstrap": kafka_address, "security_protocol": "SASL_PLAINTEXT"}
        said = cause(msgspec.structs.replace(secure, **plain))
        assert "does not ask for a login" in said


class TestPermission:
    def test_a_topic_that_the_user_may_not_read(
        self, admin: KafkaBroker, ward: KafkaBroker, name: Name
    ) -> None:
        topic = name("topic")
        admin.create([TopicSpec(topic, 1)])
        with pytest.raises(BrokerError, match=f"{topic}.*READ"):
            ward.source([topic], "group")
        allow(admin, ResourceType.TOPIC, topic, "DESCRIBE")
        with pytest.raises(BrokerError, match=f"{topic}.*READ"):
            ward.source([topic], "group")

    def test_a_topic_that_the_user_may_not_write(
        self, admin: KafkaBroker, ward: KafkaBroker, name: Name
    ) -> None:
        topic = name("topic")
        admin.create([TopicSpec(topic, 1)])
        allow(admin, ResourceType.TOPIC, topic, "READ")
        publisher = ward.publisher()
        with pytest.raises(BrokerError, match=f"{topic}.*WRITE"):
            publisher.send(topic, b"k", b"v")
        publisher.close()

    def test_a_group_that_the_user_may_not_join(
        self, admin: KafkaBroker, ward: KafkaBroker, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        admin.create([TopicSpec(topic, 1)])
        allow(admin, ResourceType.TOPIC, topic, "READ")
        source = ward.source([topic], group)
        with pytest.raises(BrokerError, match=f"group.*READ.*{group}"):
            source.poll(DEADLINE, 1)
        source.close()

    def test_a_transactional_id_that_the_user_may_not_use(
        self, ward: KafkaBroker, name: Name
    ) -> None:
        with pytest.raises(BrokerError, match="transactional id"):
            ward.sink(name("sink"))

    def test_what_is_allowed_works(self, admin: KafkaBroker, ward: KafkaBroker, name: Name) -> None:
        topic, group = name("topic"), name("group")
        admin.create([TopicSpec(topic, 1)])
        allow(admin, ResourceType.TOPIC, topic, "READ", "WRITE")
        allow(admin, ResourceType.GROUP, group, "READ")
        allow(admin, ResourceType.TRANSACTIONAL_ID, group, "WRITE")
        publisher = ward.publisher()
        publisher.send(topic, b"k", b"v")
        publisher.close()
        source = ward.source([topic], group)
        end = time.monotonic() + 4 * DEADLINE
        batches: list[RecordBatch] = []
        while not batches and time.monotonic() < end:
            poll = source.poll(0.5, 10)
            batches = poll.batches
        sink = ward.sink(group)
        sink.begin()
        sink.append(topic, b"k", b"w")
        sink.commit({TopicPartition(topic, 0): batches[0].next_offset}, poll.membership)
        assert source.committed(TopicPartition(topic, 0)) == 1
        sink.close()
        source.close()
