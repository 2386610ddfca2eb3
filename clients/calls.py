"""What a handle asks of a client core, and what it is answered."""

from __future__ import annotations

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
class Seek:
    """``offset``: a number, or ``earliest`` / ``latest``."""

    partition: TopicPartition
    offset: int | str


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
    """``timestamp``: -1 end, -2 start, or a time; answered with ``{partition: offset}``."""

    partitions: tuple[TopicPartition, ...]
    timestamp: int


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
    version: int = 0


@attrs.frozen
class DescribeTopics:
    """Answered with a MetadataResponse; without names, of all topics."""

    topics: tuple[str, ...] | None = None
