"""Asks the controller for ISR changes, one request at a time (Kafka: ``AlterPartitionManager``)."""

from __future__ import annotations

from typing import NamedTuple

from kafsim.broker.isr import CommittedIsr, IsrState
from kafsim.broker.partition import Partition
from kafsim.controller.controller_channel import ControllerChannel
from kafsim.controller.metadata_state import RECOVERED
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.alter_partition import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    BrokerState,
    PartitionData,
    TopicData,
)
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import Uuid

TIMER = "alter-partition"
RETRY = millis(50)


class Proposal(NamedTuple):
    partition: Partition
    state: IsrState
    leader_epoch: int
    partition_epoch: int
    members: tuple[tuple[int, int], ...]
    """(broker, the broker epoch it fetched with)."""


class AlterPartitionSender:
    """``broker_epoch`` is read when a request is sent."""

    def __init__(self, outbox: Outbox, channel: ControllerChannel, broker_id: int) -> None:
        self._outbox = outbox
        self._channel = channel
        self._broker_id = broker_id
        self.broker_epoch = -1
        self._unsent: dict[TopicPartition, Proposal] = {}
        self._in_flight = False

    def propose(self, now: Micros, partition: Partition) -> None:
        leader = partition.leader
        assert leader is not None, f"{partition.name} does not lead"
        assert not isinstance(leader.isr, CommittedIsr), f"{partition.name} proposes nothing"
        state = leader.isr
        if partition.tp in self._unsent:
            partition.on_isr_answer(now, state, errors.OPERATION_NOT_ATTEMPTED, (), -1, -1)
            return
        epochs = {id_: replica.broker_epoch for id_, replica in leader.replicas.items()}
        members = tuple((m, self._epoch_of(m, epochs.get(m))) for m in state.proposed)
        self._unsent[partition.tp] = Proposal(
            partition, state, partition.leader_epoch, partition.partition_epoch, members
        )
        self._send(now)

    def _epoch_of(self, member: int, fetched_with: int | None) -> int:
        if member == self._broker_id:
            return self.broker_epoch
        return -1 if fetched_with is None else fetched_with

    def _send(self, now: Micros) -> None:
        if self._in_flight or not self._unsent:
            return
        self._in_flight = True
        sent = dict(self._unsent)
        by_topic: dict[Uuid, list[PartitionData]] = {}
        for proposal in sent.values():
            by_topic.setdefault(proposal.partition.topic_id, []).append(_data(proposal))
        request = AlterPartitionRequest(
            broker_id=self._broker_id,
            broker_epoch=self.broker_epoch,
            topics=tuple(TopicData(topic_id=id_, partitions=tuple(data)) for id_, data in by_topic.items()),
        )
        self._channel.send(now, request, lambda at, response: self._on_answer(at, sent, response))

    def _on_answer(
        self, now: Micros, sent: dict[TopicPartition, Proposal], response: AlterPartitionResponse | None
    ) -> None:
        self._in_flight = False
        if response is None or response.error_code != errors.NONE:
            self._outbox.set_timer(TIMER, Micros(now + RETRY))
            return
        answers = {(t.topic_id, p.partition_index): p for t in response.topics for p in t.partitions}
        for tp, proposal in sent.items():
            partition = proposal.partition
            answer = answers.get((partition.topic_id, tp.partition))
            if answer is None:
                continue
            del self._unsent[tp]
            again = partition.on_isr_answer(
                now, proposal.state, answer.error_code, answer.isr, answer.leader_epoch, answer.partition_epoch
            )
            if again:
                self.propose(now, partition)
        self._send(now)

    def on_timer(self, now: Micros) -> None:
        self._send(now)


def _data(proposal: Proposal) -> PartitionData:
    return PartitionData(
        partition_index=proposal.partition.tp.partition,
        leader_epoch=proposal.leader_epoch,
        new_isr_with_epochs=tuple(BrokerState(broker_id=b, broker_epoch=e) for b, e in proposal.members),
        leader_recovery_state=RECOVERED,
        partition_epoch=proposal.partition_epoch,
    )
