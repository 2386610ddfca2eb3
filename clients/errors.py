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


COMMIT_FAILED = (
    "Commit cannot be completed since the group has already rebalanced and assigned the partitions to another member. "
    "This means that the time between subsequent calls to poll() was longer than the configured max.poll.interval.ms, "
    "which typically implies that the poll loop is spending too much time message processing. You can address this "
    "either by increasing max.poll.interval.ms or by reducing the maximum size of batches returned in poll() with "
    "max.poll.records."
)


class CommitFailedError(KafkaError):
    """The consumer is not the member any more that may commit this (Kafka: ``CommitFailedException``)."""

    def __init__(self, message: str = COMMIT_FAILED) -> None:
        super().__init__(errors.UNKNOWN_MEMBER_ID, message)

    @property
    def name(self) -> str:
        return "CommitFailedException"


class InvalidGroupIdError(KafkaError):
    """The consumer has no group.id, and is asked for what needs one."""

    def __init__(self) -> None:
        super().__init__(errors.INVALID_GROUP_ID, NO_GROUP)


NO_GROUP = (
    "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer "
    "configuration."
)


CLOSED = "This consumer has already been closed."


class IllegalStateError(Exception):
    """A client was asked for what it cannot do in the state that it is in."""


class ProducerClosedError(Exception):
    """The producer was closed meanwhile."""
