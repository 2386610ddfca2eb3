"""The partitions of ``__consumer_offsets`` as the group coordinator uses them.

Kafka: ``CoordinatorPartitionWriter``, ``CoordinatorLoader``, ``BrokerMetadataPublisher``.
"""

from __future__ import annotations

from collections.abc import Iterator

from kafsim.broker.partition import Partition
from kafsim.broker.replica_manager import ReplicaManager
from kafsim.controller.metadata_state import MetadataState, PartitionKey, PartitionState
from kafsim.coordinator.coordinator_runtime import TOPIC, CoordinatorRuntime
from kafsim.coordinator.shard import LogNotReadableError
from kafsim.protocol import errors
from kafsim.protocol.files import DiskError
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.record import Record, decode_batch
from kafsim.protocol.types import Micros, TopicPartition
from kafsim.protocol.uuid import Uuid

READ_BYTES = 5_242_880


class OffsetsPartition:
    """Looked up for each use: it may be gone, or led by another broker."""

    def __init__(self, replicas: ReplicaManager, index: int) -> None:
        self._replicas = replicas
        self._tp = TopicPartition(TOPIC, index)

    @property
    def _partition(self) -> Partition | None:
        found = self._replicas.partition(self._tp)
        return None if isinstance(found, int) else found

    @property
    def high_watermark(self) -> int:
        partition = self._partition
        return 0 if partition is None else partition.log.high_watermark

    def append(self, now: Micros, batch: bytes) -> tuple[int, int]:
        """As acks=1: too few replicas in sync do not refuse it, but it will not be committed."""
        partition = self._partition
        if partition is None:
            return errors.NOT_LEADER_OR_FOLLOWER, -1
        appended = partition.append_as_leader(now, batch, 1, self._replicas.wall_ms(now))
        return appended.error, appended.last_offset + 1

    def records(self) -> Iterator[Record]:
        partition = self._partition
        if partition is None:
            raise LogNotReadableError(f"there is no {self._tp}")
        at = partition.log.log_start_offset
        while at < partition.log.log_end_offset:
            try:
                data = partition.log.read(at, READ_BYTES, partition.log.log_end_offset, at_least_one=True).records
            except DiskError:
                partition.on_disk_error()
                raise LogNotReadableError(f"{self._tp} is on a disk that fails") from None
            if not data:
                return
            for span in batches.spans_in_memory(data):
                head = batches.header(data, span.position)
                at = head.next_offset
                if not head.is_control:
                    yield from decode_batch(data, span.position)


class CoordinatorElections:
    """Whoever leads a partition of the topic coordinates its groups."""

    def __init__(self, runtime: CoordinatorRuntime, metadata: MetadataState, broker_id: int) -> None:
        self._runtime = runtime
        self._metadata = metadata
        self._broker_id = broker_id
        self._topic_id: Uuid | None = None

    def on_published(self, now: Micros, touched: dict[PartitionKey, PartitionState | None], *, first: bool) -> None:
        """``touched``: the keys of partitions that have changed."""
        topic_id = self._metadata.topic_ids.get(TOPIC)
        if first:
            self._runtime.start(self._metadata.partition_counts.get(topic_id) if topic_id else None)
        gone = self._runtime.topics.on_changed(dict.fromkeys(key[0] for key in touched))
        for key in touched:
            if key[0] in (topic_id, self._topic_id):
                self._follow(now, key)
        self._topic_id = topic_id
        if gone:
            self._runtime.on_topics_deleted(now, gone)

    def _follow(self, now: Micros, key: PartitionKey) -> None:
        state = self._metadata.partitions.get(key)
        if state is None or self._broker_id not in state.replicas:
            self._runtime.on_resignation(now, key[1], None)
        elif state.leader == self._broker_id:
            self._runtime.on_election(now, key[1], state.leader_epoch)
        else:
            self._runtime.on_resignation(now, key[1], state.leader_epoch)
