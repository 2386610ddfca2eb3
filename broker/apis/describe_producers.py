"""DescribeProducers (61), version 0: what the leader of a partition knows of its producers."""

from __future__ import annotations

from kafsim.broker.replica_manager import ReplicaManager
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.java import hash_order
from kafsim.protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from kafsim.protocol.types import ConnectionId, Header, Micros, TopicPartition


class DescribeProducersApi:
    def __init__(self, outbox: Outbox, replicas: ReplicaManager) -> None:
        self._outbox = outbox
        self._replicas = replicas

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: DescribeProducersRequest) -> None:
        topics = tuple(
            TopicResponse(
                name=topic.name,
                partitions=tuple(self._one(TopicPartition(topic.name, index)) for index in topic.partition_indexes),
            )
            for topic in request.topics
        )
        self._outbox.reply(connection, header, DescribeProducersResponse(topics=topics))

    def _one(self, tp: TopicPartition) -> PartitionResponse:
        partition = self._replicas.partition(tp)
        if isinstance(partition, int) or partition.leader is None:
            error = partition if isinstance(partition, int) else errors.NOT_LEADER_OR_FOLLOWER
            return PartitionResponse(partition_index=tp.partition, error_code=error)
        producers = tuple(
            ProducerState(
                producer_id=entry.producer_id,
                producer_epoch=entry.epoch,
                last_sequence=entry.last_sequence,
                last_timestamp=entry.last_timestamp,
                coordinator_epoch=entry.coordinator_epoch,
                current_txn_start_offset=entry.current_txn_first_offset,
            )
            for entry in map(partition.log.producers.entries.__getitem__, hash_order(partition.log.producers.entries))
        )
        return PartitionResponse(partition_index=tp.partition, active_producers=producers)
