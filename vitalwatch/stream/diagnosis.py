"""Why a Kafka broker cannot be used, in one sentence that says what to do.

The client library reports every fault of a connection, from a closed port to a wrong password,
as the same timeout. So :func:`preflight` first walks the way of a connection itself, one step at
a time, and names the step that fails. :func:`explained` does the same for what the library
raises later on.
"""

import errno
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism

from vitalwatch.config import Kafka as KafkaSettings
from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import CREATE_TOPICS

STEP_SECONDS: Final = 2.0
LAST_TRY_SECONDS: Final = 3.0  # no further address is tried after so long: all within 5 s
LARGEST_ANSWER: Final = 2**24
TLS_ALERT: Final = 0x15
METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 17, 18, 36
ILLEGAL_SASL_STATE, UNSUPPORTED_MECHANISM = 34, 33


def preflight(settings: KafkaSettings) -> None:
    """Raise BrokerError with the true cause if no bootstrap address leads to a usable broker."""
    context = tls_context(settings)
    causes: list[BrokerError] = []
    end = time.monotonic() + LAST_TRY_SECONDS
    for address in settings.bootstrap.split(","):
        if time.monotonic() > end:
            break
        try:
            with _Wire(address, context) as wire:
                _hello(wire, settings)
                _login(wire, settings)
                brokers = _brokers(wire, settings)
            _reach(address, brokers)
        except BrokerError as cause:
            causes.append(cause)
        else:
            return
    raise causes[0]


def tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """How to verify the broker and prove ourselves; None without TLS."""
    if not settings.security_protocol.endswith("SSL"):
        return None
    named = {
        "kafka.ca_file": settings.ca_file,
        "kafka.cert_file": settings.cert_file,
        "kafka.key_file": settings.key_file,
    }
    for setting, file in named.items():
        if file and not Path(file).is_file():
            raise BrokerError(f"There is no file {file}: correct {setting}.")
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (ssl.SSLError, OSError) as cause:
        raise BrokerError(
            f"{settings.ca_file} holds no certificate in PEM form: correct kafka.ca_file."
        ) from cause
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
        except (ssl.SSLError, OSError) as cause:
            raise BrokerError(
                f"{settings.cert_file} and its key are no pair in PEM form: "
                "correct kafka.cert_file and kafka.key_file."
            ) from cause
    return context


@contextmanager
def translated(address: str) -> Iterator[None]:
    """What the library raises inside becomes BrokerError."""
    try:
        yield
    except errors.KafkaError as cause:
        raise explained(cause, address) from cause


def explained(cause: BaseException, address: str) -> BrokerError:
    """What an error of the library means to who runs the program."""
    detail = " ".join(str(cause).split())
    match cause:
        case errors.TopicAuthorizationFailedError():
            message = f"The broker does not let this user use the topic: allow it there ({detail})."
        case errors.GroupAuthorizationFailedError():
            message = f"The broker does not let this user join the group: allow READ ({detail})."
        case errors.TransactionalIdAuthorizationFailedError():
            message = (
                "The broker does not let this user write transactions: allow WRITE and DESCRIBE "
                f"on the transactional id ({detail})."
            )
        case errors.AuthorizationError():
            message = f"The broker does not allow this user to do that ({detail})."
        case errors.SaslAuthenticationFailedError():
            message = "The broker refuses the login: check kafka.username and kafka.password."
        case errors.UnknownTopicOrPartitionError():
            message = f"The topic or partition does not exist: {CREATE_TOPICS} ({detail})."
        case errors.MessageSizeTooLargeError() | errors.RecordListTooLargeError():
            message = (
                "A record is larger than the topic takes: raise the topic's max.message.bytes "
                f"({detail})."
            )
        case errors.InvalidTimestampError():
            message = (
                "The topic refuses the record's time: set its message.timestamp.after.max.ms as "
                "vitalwatch topics check says."
            )
        case errors.InvalidReplicationFactorError():
            message = "There are fewer brokers than copies wanted: lower topics.replication."
        case errors.NotEnoughReplicasError() | errors.NotEnoughReplicasAfterAppendError():
            message = "Too few copies of the topic are in sync to write to it: look at the brokers."
        case errors.UnsupportedCodecError():
            message = (
                f"The topic's records cannot be unpacked ({detail}): "
                "pip install 'kafka-python[lz4,snappy,zstd]'."
            )
        case errors.CorruptRecordError():
            message = (
                f"The broker at {address} holds damaged records: bring them back from another "
                f"copy, or delete the partition's records up to behind them ({detail})."
            )
        case (
            errors.KafkaTimeoutError() | errors.KafkaConnectionError() | errors.NodeNotReadyError()
        ):
            message = f"The broker at {address} does not answer ({detail})."
        case _:
            message = f"The broker at {address} reports: {detail}."
    return BrokerError(message)


class _Wire:
    """One connection that speaks Kafka's protocol, a request at a time."""

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        self.address = address
        self.host, _, port = address.rpartition(":")
        self._socket = _connect(address, self.host, int(port))
        if context is not None:
            self._socket = self._encrypt(context)

    def __enter__(self) -> "_Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _encrypt(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain = self._socket
        try:
            return context.wrap_socket(plain, server_hostname=self.host)
        except ssl.SSLCertVerificationError as cause:
            plain.close()
            raise BrokerError(
                f"The certificate of the broker at {self.address} cannot be verified "
                f"({cause.verify_message}): name its authority in kafka.ca_file, and the broker "
                "as its certificate does in kafka.bootstrap."
            ) from cause
        except (ssl.SSLError, OSError) as cause:
            plain.close()
            raise BrokerError(
                f"The broker at {self.address} does not speak TLS: set kafka.security_protocol "
                "to PLAINTEXT or SASL_PLAINTEXT, or use its TLS port."
            ) from cause

    def ask(self, key: int, version: int, body: bytes = b"") -> bytes | None:
        """The answer's body; None where the broker hangs up or is silent."""
        client = b"vitalwatch"
        head = struct.pack(">hhih", key, version, 1, len(client)) + client
        try:
            self._socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
            (size,) = struct.unpack(">i", self._exactly(4))
            if size >> 24 == TLS_ALERT:
                raise BrokerError(
                    f"The broker at {self.address} speaks TLS: set kafka.security_protocol to SSL "
                    "or SASL_SSL."
                )
            if not 4 <= size <= LARGEST_ANSWER:
                return None
            return self._exactly(size)[4:]
        except OSError:
            return None

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise OSError("the broker hung up")
            data += more
        return data


def _connect(address: str, host: str, port: int) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=STEP_SECONDS)
    except (socket.gaierror, UnicodeError) as cause:  # the latter: no name may be so
        raise BrokerError(f"There is no machine named {host}: correct kafka.bootstrap.") from cause
    except TimeoutError as cause:
        raise BrokerError(
            f"Nothing answers at {address}: correct kafka.bootstrap, or let the connection through."
        ) from cause
    except OSError as cause:
        if cause.errno == errno.ECONNREFUSED:
            message = f"No broker listens at {address}: start it, or correct kafka.bootstrap."
        else:
            message = f"{address} cannot be reached ({cause.strerror}): correct kafka.bootstrap."
        raise BrokerError(message) from cause


def _hello(wire: _Wire, settings: KafkaSettings) -> None:
    if wire.ask(API_VERSIONS, 0) is None:
        cause = "it may not be Kafka: check the port in kafka.bootstrap"
        if settings.security_protocol.endswith("SSL"):
            cause = "it may want a client's certificate: name one in kafka.cert_file"
        raise BrokerError(f"What listens at {wire.address} does not answer: {cause}.")


def _login(wire: _Wire, settings: KafkaSettings) -> None:
    if not settings.security_protocol.startswith("SASL"):
        return
    mechanism = settings.sasl_mechanism
    answer = wire.ask(SASL_HANDSHAKE, 1, _text(mechanism))
    if answer is not None:
        (code, count), rest = struct.unpack_from(">hi", answer), answer[6:]
        if code == UNSUPPORTED_MECHANISM:
            names = ", ".join(sorted(_texts(rest, count)))
            raise BrokerError(
                f"The broker at {wire.address} does not take {mechanism} logins but {names}: "
                "correct kafka.sasl_mechanism."
            )
        if code == ILLEGAL_SASL_STATE:
            raise BrokerError(
                f"The broker at {wire.address} does not ask for a login: set "
                "kafka.security_protocol to PLAINTEXT or SSL, or use another port."
            )
    client = get_sasl_mechanism(mechanism)(
        host=wire.host,
        security_protocol=settings.security_protocol,
        sasl_mechanism=mechanism,
        sasl_plain_username=settings.username,
        sasl_plain_password=settings.password,
    )
    while not client.is_done():
        token: bytes = client.auth_bytes()
        answer = wire.ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        if answer is None or struct.unpack_from(">h", answer)[0] != 0:
            raise BrokerError(
                f"The broker at {wire.address} refuses the {mechanism} login of user "
                f"{settings.username!r}: check kafka.username and kafka.password."
            )
        (length,) = struct.unpack_from(">h", answer, 2)
        client.receive(answer[2 + 2 + max(length, 0) + 4 :])


def _brokers(wire: _Wire, settings: KafkaSettings) -> list[tuple[str, int]]:
    """Where the cluster says that its brokers are."""
    answer = wire.ask(METADATA, 1, struct.pack(">i", 0))
    if answer is None:
        cause = "it may be a controller, or ask for a login (SASL_… in kafka.security_protocol)"
        if settings.security_protocol.startswith("SASL"):
            cause = "it may be a controller: use a broker's port"
        raise BrokerError(f"The broker at {wire.address} serves no metadata: {cause}.")
    (count,), position = struct.unpack_from(">i", answer), 4
    brokers = []
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, position + 4)
        position += 6
        host = answer[position : position + length].decode()
        port, rack = struct.unpack_from(">ih", answer, position + length)
        position += length + 6 + max(rack, 0)
        brokers.append((host, port))
    return brokers


def _reach(address: str, brokers: list[tuple[str, int]]) -> None:
    """A broker's own name for itself (advertised.listeners) is what the library will use."""
    failures: list[BrokerError] = []
    for host, port in brokers:
        try:
            _connect(f"{host}:{port}", host, port).close()
        except BrokerError as cause:
            failures.append(cause)
        else:
            return
    names = ", ".join(f"{host}:{port}" for host, port in brokers)
    raise BrokerError(
        f"The broker at {address} says that it is to be reached at {names or 'nowhere'}, which "
        "does not work from here: correct its advertised.listeners."
    ) from (failures[0] if failures else None)


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _texts(data: bytes, count: int) -> Iterator[str]:
    position = 0
    for _ in range(count):
        (length,) = struct.unpack_from(">h", data, position)
        yield data[position + 2 : position + 2 + length].decode()
        position += 2 + length
