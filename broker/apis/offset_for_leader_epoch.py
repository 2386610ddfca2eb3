"""OffsetForLeaderEpoch (23), version 4: where a leader epoch ends in the leader's log.

Behaviour: an epoch the leader never had is answered -1 without an error; only the leader answers.
"""

from __future__ import annotations

from kafsim.broker.replica_manager import ReplicaManager
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)
from kafsim.protocol.types import ConnectionId, Header, Micros, TopicPartition


class OffsetForLeaderEpochApi:
    def __init__(self, outbox: Outbox, replicas: ReplicaManager) -> None:
        self._outbox = outbox
        self._replicas = replicas

    def handle(
        self, now: Micros, connection: ConnectionId, header: Header, request: OffsetForLeaderEpochRequest
    ) -> None:
        topics = tuple(
            OffsetForLeaderTopicResult(
                topic=topic.topic,
                partitions=tuple(self._one(TopicPartition(topic.topic, p.partition), p) for p in topic.partitions),
            )
            for topic in request.topics
        )
        self._outbox.reply(connection, header, OffsetForLeaderEpochResponse(topics=topics))

    def _one(self, tp: TopicPartition, asked: OffsetForLeaderPartition) -> EpochEndOffset:
        partition = self._replicas.partition(tp)
        if isinstance(partition, int):
            return EpochEndOffset(partition=tp.partition, error_code=partition)
        error = partition.check_epoch(asked.current_leader_epoch)
        if not error and partition.leader is None:
            error = errors.NOT_LEADER_OR_FOLLOWER
        if error:
            return EpochEndOffset(partition=tp.partition, error_code=error)
        epoch, end = partition.log.end_offset_for_epoch(asked.leader_epoch)
        return EpochEndOffset(partition=tp.partition, leader_epoch=epoch, end_offset=end)
