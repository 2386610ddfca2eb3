"""ListOffsets (2), version 11.

Behaviour:
* -1 the end (for a consumer the high watermark, for a replica the log end), -2 the start, -3 the largest timestamp, a
  time: the first record not before it. -5 and -6 are answered -1, as without tiered storage; any other is refused.
* A consumer is answered OFFSET_NOT_AVAILABLE while a new leader has not committed anything of its epoch.
"""

from __future__ import annotations

from typing import NamedTuple

from kafsim.broker.partition import Partition
from kafsim.broker.replica_manager import ReplicaManager
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.files import DiskError
from kafsim.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from kafsim.protocol.records.record import decode_batch
from kafsim.protocol.types import ConnectionId, Header, Micros, TopicPartition
from kafsim.storage.log import Log

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = range(-1, -7, -1)
SINCE = {LATEST: 1, EARLIEST: 1, MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}
"""The version that each special timestamp came with."""


class Found(NamedTuple):
    """A record, and the leader epoch of its batch."""

    offset: int
    timestamp: int
    epoch: int


class ListOffsetsApi:
    def __init__(self, outbox: Outbox, replicas: ReplicaManager) -> None:
        self._outbox = outbox
        self._replicas = replicas

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: ListOffsetsRequest) -> None:
        topics = tuple(
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=tuple(
                    self._one(
                        TopicPartition(topic.name, asked.partition_index), asked, request.replica_id, header.version
                    )
                    for asked in topic.partitions
                ),
            )
            for topic in request.topics
        )
        self._outbox.reply(connection, header, ListOffsetsResponse(topics=topics))

    def _one(
        self, tp: TopicPartition, asked: ListOffsetsPartition, replica: int, version: int
    ) -> ListOffsetsPartitionResponse:
        if asked.timestamp < 0 and version < SINCE.get(asked.timestamp, version + 1):
            return _answer(tp, error=errors.UNSUPPORTED_VERSION)
        partition = self._replicas.partition(tp)
        if isinstance(partition, int):
            return _answer(tp, error=partition)
        error = partition.check_epoch(asked.current_leader_epoch)
        if not error and partition.leader is None:
            error = errors.NOT_LEADER_OR_FOLLOWER
        if error:
            return _answer(tp, error=error)
        try:
            return self._found(tp, partition, asked.timestamp, is_consumer=replica < 0)
        except DiskError:
            partition.on_disk_error()
            return _answer(tp, error=errors.KAFKA_STORAGE_ERROR)

    def _found(
        self, tp: TopicPartition, partition: Partition, timestamp: int, *, is_consumer: bool
    ) -> ListOffsetsPartitionResponse:
        log, leader = partition.log, partition.leader
        bound = log.high_watermark if is_consumer else log.log_end_offset
        early = is_consumer and leader is not None and leader.epoch_start > log.high_watermark
        if timestamp in (EARLIEST, EARLIEST_LOCAL):
            epoch = log.epochs.epoch_for(log.log_start_offset)
            return _answer(tp, log.log_start_offset, epoch)
        if timestamp == LATEST:
            if early:
                return _answer(tp, error=errors.OFFSET_NOT_AVAILABLE)
            return _answer(tp, bound, partition.leader_epoch)
        found = _by_time(log, timestamp)
        if found is None or found.offset >= bound:
            return _answer(tp, error=errors.OFFSET_NOT_AVAILABLE if early else errors.NONE)
        return _answer(tp, found.offset, found.epoch, timestamp=found.timestamp)


def _by_time(log: Log, timestamp: int) -> Found | None:
    """The first record of this time or later."""
    if timestamp == MAX_TIMESTAMP:
        return _latest(log)
    found = log.offset_for_timestamp(timestamp) if timestamp >= 0 else None
    if found is None:
        return None
    for record in decode_batch(log.read(max(found[0], log.log_start_offset), 1, log.log_end_offset).records):
        if record.timestamp >= timestamp and record.offset >= log.log_start_offset:
            return Found(record.offset, record.timestamp, log.epochs.epoch_for(record.offset))
    return None


def _latest(log: Log) -> Found | None:
    """The first record with the largest timestamp, though it may be below the log start, as in Kafka."""
    segment = max(log.segments, key=lambda segment: segment.max_timestamp)
    for placed in segment.batches:
        if placed.max_timestamp == segment.max_timestamp:
            for record in decode_batch(segment.file.read(placed.position, placed.size)):
                if record.timestamp == segment.max_timestamp:
                    return Found(record.offset, record.timestamp, placed.leader_epoch)
    return None


def _answer(
    tp: TopicPartition, offset: int = -1, epoch: int = -1, *, timestamp: int = -1, error: int = errors.NONE
) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(
        partition_index=tp.partition, error_code=error, timestamp=timestamp, offset=offset, leader_epoch=epoch
    )
