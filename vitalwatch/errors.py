"""Everything that VitalWatch raises on purpose.

    VitalWatchError
    ├── UsageError            a command line that cannot be carried out        exit code 2
    ├── ConfigurationError    a setting, file, port or topic that is not right exit code 78
    │   ├── BrokerError       the broker cannot be used as configured
    │   ├── CheckpointError   the model file is missing, damaged or foreign
    │   └── RecordingError    a recorded stream cannot be read
    ├── RejectedReading       one message that is not a reading; becomes a dead letter
    ├── DeadLetterFlood       most of the input is no readings: somebody should look at it
    └── Fenced                another worker has taken over; this one must stop
        └── Replaced          ... under this worker's own name

A message says what is wrong, where, and what to do about it, in one or two sentences. The
command line prints it without a traceback and ends with ``exit_code``.
"""


class VitalWatchError(Exception):
    """Root of every error that VitalWatch raises on purpose."""

    exit_code = 1


class UsageError(VitalWatchError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class ConfigurationError(VitalWatchError):
    """A setting, file, port or topic is not as it must be."""

    exit_code = 78


class BrokerError(ConfigurationError):
    """The broker cannot be reached or used as configured; the message names the cause."""


class CheckpointError(ConfigurationError):
    """A model file is missing, damaged, or made for another version."""


class RecordingError(ConfigurationError):
    """A recorded stream cannot be read."""


class RejectedReading(VitalWatchError):  # noqa: N818 - an outcome of input, not a fault of ours
    """One message that cannot be scored.

    ``reason`` is one of the fixed words of :data:`vitalwatch.messages.REJECTIONS`, fit for a
    metric's label; ``detail`` is for a person and holds no patient's identifier.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DeadLetterFlood(VitalWatchError):  # noqa: N818 - a decision, not a fault of ours
    """More of the input are dead letters than the settings allow."""


class Fenced(VitalWatchError):  # noqa: N818 - Kafka's own word
    """Another worker with this identity, or a newer generation of the group, has taken over."""


class Replaced(Fenced):
    """Another worker with this one's own name writes in its place."""
