"""Produce (0), version 13, which names topics by their ids.

Behaviour:
* acks=0 is not answered, and an error closes the connection; acks=1 is answered when the leader has written.
* acks=all is refused while the ISR is too small, and answered when the high watermark has passed the batch; at the
  request's timeout with REQUEST_TIMED_OUT, though the records stay and may still be committed.
* A duplicate waits for its original's offset like any other batch.
"""

from __future__ import annotations

from functools import partial

import attrs

from kafsim.broker.apis.delete_records import INTERNAL_TOPICS
from kafsim.broker.partition import Partition
from kafsim.broker.replica_manager import ReplicaManager
from kafsim.protocol import errors
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import broker as facts
from kafsim.protocol.facts.fact import STATE, because
from kafsim.protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from kafsim.protocol.records import batch as batches
from kafsim.protocol.schema import changed
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import ConnectionId, EventNumber, Header, Micros, TopicPartition, millis
from kafsim.protocol.uuid import ZERO_UUID, Uuid, to_text
from kafsim.storage.log import Appended

TIMER = "produce-purgatory"
NO_LEADER = LeaderIdAndEpoch()
IDS_SINCE = 13
UNKNOWN = "?"
"""Stands before the id of a topic that has no name here."""
ADMIN = "__admin_client"
"""Who may write to internal topics."""

EXPECTED = frozenset(
    {
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.UNKNOWN_TOPIC_ID,
        errors.NOT_LEADER_OR_FOLLOWER,
        errors.MESSAGE_TOO_LARGE,
        errors.RECORD_LIST_TOO_LARGE,
        errors.CORRUPT_MESSAGE,
        errors.KAFKA_STORAGE_ERROR,
        errors.INVALID_REQUIRED_ACKS,
        errors.INVALID_TOPIC_EXCEPTION,
    }
)
"""Kafka: the exceptions that ``ReplicaManager.appendRecordsToLeader`` knows."""


@attrs.define
class PendingProduce:
    """A request whose batches are appended and not all replicated. ``waiting``: those, with what they need."""

    connection: ConnectionId
    header: Header
    acks: int
    timeout_ms: int
    answers: dict[TopicPartition, PartitionProduceResponse]
    waiting: dict[TopicPartition, tuple[Partition, Appended, int]]
    event: EventNumber
    ids: dict[str, Uuid] = attrs.field(factory=dict)
    """Of the topics that were named so."""
    may_be_transactional: bool = False
    """The request names a transactional id."""
    done: bool = False


class ProduceApi:
    def __init__(self, given: Surroundings, replicas: ReplicaManager) -> None:
        self._given = given
        self._outbox: Outbox = given.outbox
        self._replicas = replicas
        self._waits: Deadlines[PendingProduce] = Deadlines(given.outbox, TIMER)

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: ProduceRequest) -> None:
        if any(data.records is None for topic in request.topic_data for data in topic.partition_data):
            return  # Kafka's handler fails on it, and nobody ever answers
        pending = PendingProduce(connection, header, request.acks, request.timeout_ms, {}, {}, self._outbox.event)
        pending.may_be_transactional = request.transactional_id is not None
        for topic in request.topic_data:
            name = topic.name
            if header.version >= IDS_SINCE:
                name = self._replicas.topic_name(topic.topic_id) or UNKNOWN + to_text(topic.topic_id)
                pending.ids[name] = topic.topic_id
            for data in topic.partition_data:
                self._append(now, pending, TopicPartition(name, data.index), data)
        for tp, (partition, appended, _) in list(pending.waiting.items()):
            if request.acks == -1:
                partition.wait_for(appended.last_offset + 1, partial(self._finish, pending, tp))
            else:
                self._settle(pending, tp, errors.NONE)
        if pending.waiting:
            self._waits.add(Micros(now + millis(request.timeout_ms)), pending)
        elif not pending.done:
            self._answer(pending)

    def _append(self, now: Micros, pending: PendingProduce, tp: TopicPartition, data: PartitionProduceData) -> None:
        if is_transactional(data.records or b"") and not pending.may_be_transactional:
            pending.answers[tp] = self._error(tp, errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, malformed=True)
            return
        if tp.topic.startswith(UNKNOWN):
            pending.answers[tp] = self._error(tp, errors.UNKNOWN_TOPIC_ID)
            return
        if pending.acks not in (-1, 0, 1):
            pending.answers[tp] = self._error(tp, errors.INVALID_REQUIRED_ACKS)
            return
        if tp.topic in INTERNAL_TOPICS and pending.header.client_id != ADMIN:
            text = f"Cannot append to internal topic {tp.topic}"
            pending.answers[tp] = self._error(tp, errors.INVALID_TOPIC_EXCEPTION, text)
            return
        partition = self._replicas.partition(tp)
        if isinstance(partition, int):
            pending.answers[tp] = self._error(tp, partition)
            return
        wall = self._given.wall_ms(now)
        appended = partition.append_as_leader(now, data.records or b"", pending.acks, wall)
        if appended.error:
            refusal = self._error(tp, appended.error, appended.message, malformed=appended.malformed)
            wrong = tuple(
                BatchIndexAndErrorMessage(batch_index=index, batch_index_error_message=text)
                for index, text in appended.record_errors
            )
            pending.answers[tp] = changed(refusal, record_errors=wrong) if wrong else refusal
        else:
            pending.waiting[tp] = (partition, appended, partition.leader_epoch)

    def _error(
        self, tp: TopicPartition, error: int, message: str | None = None, *, malformed: bool = False
    ) -> PartitionProduceResponse:
        return PartitionProduceResponse(
            index=tp.partition,
            error_code=error,
            base_offset=-1,
            log_start_offset=-1 if malformed else self._log_start(tp, error),
            error_message=message,
            current_leader=self._leader_hint(tp, error),
        )

    def _log_start(self, tp: TopicPartition, error: int) -> int:
        """Kafka tells it with every error that it did not expect to happen."""
        partition = self._replicas.partition(tp)
        return -1 if error in EXPECTED or isinstance(partition, int) else partition.log.log_start_offset

    def _leader_hint(self, tp: TopicPartition, error: int) -> LeaderIdAndEpoch:
        """NOT_LEADER_OR_FOLLOWER names the leader, so that the client need not ask (KIP-951)."""
        if error == errors.NOT_LEADER_OR_FOLLOWER:
            partition = self._replicas.partition(tp)
            if not isinstance(partition, int):
                leader = self._replicas.current_leader((partition.topic_id, tp.partition))
                return LeaderIdAndEpoch(leader_id=leader.leader_id, leader_epoch=leader.leader_epoch)
        return NO_LEADER

    # ---------------------------------------------------------------------------- waiting

    def _finish(self, pending: PendingProduce, tp: TopicPartition, error: int) -> None:
        """A batch is replicated, or will not be answered by this replica."""
        if pending.done or tp not in pending.waiting:
            return
        self._settle(pending, tp, error)
        if not pending.waiting:
            self._answer(pending)

    def _settle(self, pending: PendingProduce, tp: TopicPartition, error: int) -> None:
        partition, appended, epoch = pending.waiting.pop(tp)
        pending.answers[tp] = PartitionProduceResponse(
            index=tp.partition,
            error_code=error,
            base_offset=appended.base_offset,
            log_append_time_ms=appended.log_append_time_ms,
            log_start_offset=partition.log.log_start_offset,
            current_leader=self._leader_hint(tp, error),
        )
        if error == errors.NONE and pending.acks and self._outbox.heard >= STATE:
            self._outbox.happened(
                facts.RecordsAcknowledged(
                    log=partition.name,
                    base_offset=appended.base_offset,
                    last_offset=appended.last_offset,
                    leader_epoch=epoch,
                    acks=pending.acks,
                ),
                pending.event,
            )

    def on_timer(self, now: Micros) -> None:
        """Requests whose timeout is over: what they wait for is answered REQUEST_TIMED_OUT."""
        for pending in self._waits.pop_due(now):
            for tp, (partition, appended, _) in list(pending.waiting.items()):
                why = because(
                    facts.TIMED_OUT,
                    high_watermark=partition.log.high_watermark,
                    needed=appended.last_offset + 1,
                    timeout_ms=pending.timeout_ms,
                )
                error = errors.REQUEST_TIMED_OUT
                self._outbox.happened(
                    facts.ProduceRefused(log=partition.name, error=errors.name(error), because=why), pending.event
                )
                self._settle(pending, tp, error)
            self._answer(pending)

    def _answer(self, pending: PendingProduce) -> None:
        pending.done = True
        if pending.acks == 0:
            if any(answer.error_code for answer in pending.answers.values()):
                self._outbox.close(pending.connection)
            return
        topics: dict[str, list[PartitionProduceResponse]] = {}
        for tp, answer in pending.answers.items():
            topics.setdefault(tp.topic, []).append(answer)
        responses = tuple(
            TopicProduceResponse(
                name="" if topic in pending.ids else topic,
                topic_id=pending.ids.get(topic, ZERO_UUID),
                partition_responses=tuple(answers),
            )
            for topic, answers in topics.items()
        )
        self._outbox.reply(pending.connection, pending.header, ProduceResponse(responses=responses))


def is_transactional(records: bytes) -> bool:
    """By the low byte of the attributes of the first batch."""
    return len(records) >= batches.OVERHEAD and bool(records[22] & batches.TRANSACTIONAL)
