"""DeleteRecords (21), version 2: move the start of a log up to an offset, -1 for the high watermark.

Behaviour: answered when every replica that is up has moved its log start too (the low watermark), or REQUEST_TIMED_OUT
after timeout.ms. The segments go with the next retention. A topic that is only compacted refuses it.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from kafsim.broker.partition import Partition
from kafsim.broker.replica_manager import ReplicaManager
from kafsim.protocol import errors
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.effects import Outbox
from kafsim.protocol.files import DiskError
from kafsim.protocol.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from kafsim.protocol.types import ConnectionId, Header, Micros, TopicPartition, millis

TIMER = "delete-records-purgatory"
HIGH_WATERMARK = -1
INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


class Waiting(NamedTuple):
    """For the low watermark of a partition to reach ``needed``."""

    pending: PendingDelete
    needed: int


@attrs.define(eq=False)
class PendingDelete:
    """One request, until all its partitions are there."""

    connection: ConnectionId
    header: Header
    answers: dict[TopicPartition, DeleteRecordsPartitionResult]
    waiting: dict[TopicPartition, None]
    done: bool = False


class DeleteRecordsApi:
    """Told by the replicas when a low watermark may have moved."""

    def __init__(self, outbox: Outbox, replicas: ReplicaManager) -> None:
        self._outbox = outbox
        self._replicas = replicas
        self._waits: Deadlines[PendingDelete] = Deadlines(outbox, TIMER)
        self._by_partition: dict[TopicPartition, list[Waiting]] = {}

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: DeleteRecordsRequest) -> None:
        pending = PendingDelete(connection, header, {}, {})
        for topic in request.topics:
            for asked in topic.partitions:
                self._delete(pending, TopicPartition(topic.name, asked.partition_index), asked.offset)
        if pending.waiting:
            self._waits.add(Micros(now + millis(request.timeout_ms)), pending)
        else:
            self._answer(pending)

    def _delete(self, pending: PendingDelete, tp: TopicPartition, offset: int) -> None:
        partition = self._replicas.partition(tp)
        error = partition if isinstance(partition, int) else _refusal(partition, offset)
        if tp.topic in INTERNAL_TOPICS:
            error = errors.INVALID_TOPIC_EXCEPTION
        if error or isinstance(partition, int):
            pending.answers[tp] = _result(tp, error=error)
            return
        needed = partition.log.high_watermark if offset == HIGH_WATERMARK else offset
        try:
            partition.log.advance_log_start(needed)
        except DiskError:
            partition.on_disk_error()
            pending.answers[tp] = _result(tp, error=errors.KAFKA_STORAGE_ERROR)
            return
        low = self._low_watermark(partition)
        if low >= needed:
            pending.answers[tp] = _result(tp, low)
        else:
            pending.answers[tp] = _result(tp, low, errors.REQUEST_TIMED_OUT)
            pending.waiting[tp] = None
            self._by_partition.setdefault(tp, []).append(Waiting(pending, needed))

    def _low_watermark(self, partition: Partition) -> int:
        """The smallest log start of the leader and of all replicas that are up."""
        leader, low = partition.leader, partition.log.log_start_offset
        for replica in leader.replicas.values() if leader is not None else ():
            if self._replicas.alive_epoch(replica.id) is not None:
                low = min(low, replica.log_start_offset)
        return low

    def on_low_watermark(self, partition: Partition) -> None:
        """The log start of a replica moved, or this broker does not lead any more."""
        tp, low = partition.tp, self._low_watermark(partition)
        leads = partition.leader is not None
        answer = _result(tp, low) if leads else _result(tp, error=errors.NOT_LEADER_OR_FOLLOWER)
        for one in self._by_partition.pop(tp, ()):
            if one.pending.done:
                continue
            if leads and low < one.needed:
                self._by_partition.setdefault(tp, []).append(one)
            else:
                self._settle(one.pending, answer, tp)

    def _settle(self, pending: PendingDelete, answer: DeleteRecordsPartitionResult, tp: TopicPartition) -> None:
        pending.answers[tp] = answer
        del pending.waiting[tp]
        if not pending.waiting:
            self._answer(pending)

    def on_timer(self, now: Micros) -> None:
        for pending in self._waits.pop_due(now):
            self._answer(pending)

    def _answer(self, pending: PendingDelete) -> None:
        pending.done = True
        topics: dict[str, list[DeleteRecordsPartitionResult]] = {}
        for tp, answer in pending.answers.items():
            topics.setdefault(tp.topic, []).append(answer)
        results = tuple(DeleteRecordsTopicResult(name=name, partitions=tuple(p)) for name, p in topics.items())
        self._outbox.reply(pending.connection, pending.header, DeleteRecordsResponse(topics=results))


def _refusal(partition: Partition, offset: int) -> int:
    if partition.leader is None:
        return errors.NOT_LEADER_OR_FOLLOWER
    if not partition.log.config.deletes:
        return errors.POLICY_VIOLATION
    return errors.OFFSET_OUT_OF_RANGE if not HIGH_WATERMARK <= offset <= partition.log.high_watermark else errors.NONE


def _result(tp: TopicPartition, low: int = -1, error: int = errors.NONE) -> DeleteRecordsPartitionResult:
    return DeleteRecordsPartitionResult(partition_index=tp.partition, low_watermark=low, error_code=error)
