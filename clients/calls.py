"""What a handle asks of a client core, and what it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from kafsim.protocol.records.record import RecordHeaders
from kafsim.protocol.types import TopicPartition


@attrs.frozen(kw_only=True)
class Send:
    """One record; answered with a :class:`RecordMetadata`."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    timestamp_ms: int | None = None
    headers: RecordHeaders = ()
    callback: Callable[[RecordMetadata, Exception | None], None] | None = None


@attrs.frozen
class RecordMetadata:
    """Where a record is; offset -1 with acks=0."""

    topic: str
    partition: int
    offset: int
    timestamp: int


@attrs.frozen
class Flush:
    """Answered when everything sent before has its answer."""


@attrs.frozen
class Close:
    """No more sends; answered when what was sent has its answer."""


@attrs.frozen
class Assign:
    partitions: tuple[TopicPartition, ...]


@attrs.frozen
class Subscribe:
    """To topics, or to all whose whole name matches ``pattern``; ``listener``: a RebalanceListener."""

    topics: tuple[str, ...] = ()
    pattern: str | None = None
    listener: Any = None


@attrs.frozen
class Unsubscribe:
    """Give up all partitions, and leave the group."""


@attrs.frozen
class Commit:
    """``offsets``: an OffsetAndMetadata for each partition; None for the positions of all. Answered with None."""

    offsets: dict[TopicPartition, Any] | None = None


@attrs.frozen
class Committed:
    """Answered with an OffsetAndMetadata for each partition that has one."""

    partitions: tuple[TopicPartition, ...]


@attrs.frozen
class LookAtAssignment:
    """Answered with the partitions that are assigned now, by name."""


@attrs.frozen
class Seek:
    """``offset``: a number, or ``earliest`` / ``latest``; ``leader_epoch``: of the record before it, when known."""

    partition: TopicPartition
    offset: int | str
    leader_epoch: int = -1


@attrs.frozen
class Pause:
    """Fetch nothing of these partitions, or go on with them."""

    partitions: tuple[TopicPartition, ...]
    paused: bool = True


@attrs.frozen
class LookAt:
    """Answered with a :class:`PartitionView`."""

    partition: TopicPartition


@attrs.frozen
class PartitionView:
    """An assigned partition as its consumer has it; ``state`` is one of Kafka's ``FetchStates``.

    ``high_watermark`` and ``lag`` are those of the last answer polled: -1 and None before it.
    """

    state: str
    position: int | None
    leader_epoch: int
    high_watermark: int
    lag: int | None
    paused: bool
    preferred_replica: int | None


@attrs.frozen
class Poll:
    """Records that are there, at the latest after ``timeout_us``; answered with a tuple of :class:`ConsumerRecord`."""

    timeout_us: int
    max_records: int | None = None


@attrs.frozen
class Position:
    """The offset of the next record; answered when there is one."""

    partition: TopicPartition


@attrs.frozen
class Offsets:
    """A timestamp for each partition: -1 end, -2 start, or a time.

    Answered with an :class:`OffsetAndTimestamp` for each; its offset is -1 where there is no record of that time.
    """

    wanted: dict[TopicPartition, int]


@attrs.frozen
class OffsetAndTimestamp:
    """``leader_epoch``: of the record, -1 when it is not known."""

    offset: int
    timestamp: int = -1
    leader_epoch: int = -1


@attrs.frozen
class ConsumerRecord:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: RecordHeaders = ()
    leader_epoch: int = -1


@attrs.frozen
class Ask:
    """An admin client's request to some broker, a leader or one broker; answered with the response."""

    api: int
    request: object
    to_leader_of: TopicPartition | None = None
    to_broker: int | None = None
    to_coordinator_of: str | None = None
    """A group."""
    version: int = 0


@attrs.frozen
class DescribeTopics:
    """Answered with a MetadataResponse; without names, of all topics."""

    topics: tuple[str, ...] | None = None
