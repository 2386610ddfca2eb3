"""What a client's call ends with when it fails."""

from __future__ import annotations

from kafsim.protocol import errors
from kafsim.protocol.types import TopicPartition


class KafkaError(Exception):
    """An error code of a broker, or of the client itself; ``name`` is Kafka's name for it."""

    def __init__(self, code: int, message: str | None = None) -> None:
        super().__init__(f"{errors.name(code)}: {message}" if message else errors.name(code))
        self.code = code
        self.message = message

    @property
    def name(self) -> str:
        return errors.name(self.code)


class KafkaTimeoutError(KafkaError):
    """The client's own deadline: delivery.timeout.ms, max.block.ms, default.api.timeout.ms."""

    def __init__(self, message: str) -> None:
        super().__init__(errors.REQUEST_TIMED_OUT, message)


class NoOffsetForPartitionError(KafkaError):
    """A partition has no position, and auto.offset.reset=none."""

    def __init__(self, message: str) -> None:
        super().__init__(errors.OFFSET_OUT_OF_RANGE, message)


class OffsetOutOfRangeError(KafkaError):
    """The log has no such offset (any more), and auto.offset.reset=none; ``offsets``: the positions."""

    def __init__(self, message: str, offsets: dict[TopicPartition, int]) -> None:
        super().__init__(errors.OFFSET_OUT_OF_RANGE, message)
        self.offsets = offsets


class UnreadableRecordError(KafkaError):
    """What a broker gave for this offset is no record; a seek goes past it."""

    def __init__(self, message: str, partition: TopicPartition, offset: int) -> None:
        super().__init__(errors.CORRUPT_MESSAGE, message)
        self.partition = partition
        self.offset = offset


class LogTruncationError(OffsetOutOfRangeError):
    """Records that were read are gone from the leader's log, and auto.offset.reset=none (KIP-320).

    ``diverging``: where both logs go apart, when the leader knows.
    """

    def __init__(self, message: str, offsets: dict[TopicPartition, int], diverging: dict[TopicPartition, int]) -> None:
        super().__init__(message, offsets)
        self.diverging = diverging


class IllegalStateError(Exception):
    """A client was asked for what it cannot do in the state that it is in."""


class ProducerClosedError(Exception):
    """The producer was closed meanwhile."""
