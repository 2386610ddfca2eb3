"""Asks leaders whether they have what a consumer has read (Kafka: ``OffsetsForLeaderEpochClient``, KIP-320).

A leader that ends the epoch of the last record read before the consumer's position has lost records that were read:
the log was truncated. The position goes back to where both agree; with auto.offset.reset=none the consumer is told.
"""

from __future__ import annotations

from typing import Any

from kafsim.clients.errors import LogTruncationError
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import FAR, ClientNetwork, Lost
from kafsim.clients.offsets import reset_policy
from kafsim.clients.subscription_state import FetchPosition, FetchState, PartitionSubscription, SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from kafsim.protocol.types import Micros, TopicPartition, millis

OFFSET_FOR_LEADER_EPOCH = 23
RETRY_TIMER = "retry"


class PositionsValidator:
    """``failed``: what the next poll is to be told."""

    def __init__(
        self,
        outbox: Outbox,
        network: ClientNetwork,
        metadata: ClientMetadata,
        subscriptions: SubscriptionState,
        settings: dict[str, Any],
    ) -> None:
        self._outbox = outbox
        self._network = network
        self._metadata = metadata
        self._subscriptions = subscriptions
        self._settings = settings
        self._timeout = millis(settings["request.timeout.ms"])
        self._pause = millis(settings["retry.backoff.ms"])
        self._seen = -1
        self.failed: Exception | None = None

    def run(self, now: Micros) -> None:
        """After each change of the metadata look whether leaders have changed; ask where they have."""
        if self._seen != self._metadata.version:
            self._seen = self._metadata.version
            for state in self._subscriptions.assigned.values():
                leader = self._metadata.leader(state.tp)
                if leader is not None:
                    state.meet_leader(leader)
        by_node: dict[int, list[PartitionSubscription]] = {}
        for state in self._subscriptions.of_state(FetchState.AWAIT_VALIDATION, now):
            assert state.position is not None, "a position to validate"
            by_node.setdefault(state.position.leader.id, []).append(state)
        for node, states in by_node.items():
            if self._network.is_ready(now, node):
                self._ask(now, node, states)
            elif self._network.wake_at(node) < FAR:
                self._outbox.set_timer(RETRY_TIMER, self._network.wake_at(node))

    def _ask(self, now: Micros, node: int, states: list[PartitionSubscription]) -> None:
        topics: dict[str, list[OffsetForLeaderPartition]] = {}
        asked: dict[TopicPartition, FetchPosition] = {}
        for state in states:
            position = state.position
            assert position is not None, "a position to validate"
            state.next_try = Micros(now + self._timeout)
            asked[state.tp] = position
            topics.setdefault(state.tp.topic, []).append(
                OffsetForLeaderPartition(
                    partition=state.tp.partition,
                    current_leader_epoch=position.leader.epoch,
                    leader_epoch=position.epoch,
                )
            )
        request = OffsetForLeaderEpochRequest(
            replica_id=-1,
            topics=tuple(OffsetForLeaderTopic(topic=name, partitions=tuple(p)) for name, p in topics.items()),
        )

        def answered(at: Micros, response: OffsetForLeaderEpochResponse | Lost) -> None:
            self._on_answer(at, asked, response)

        self._network.send(now, node, OFFSET_FOR_LEADER_EPOCH, request, answered, version=4)

    def _on_answer(
        self, now: Micros, asked: dict[TopicPartition, FetchPosition], response: OffsetForLeaderEpochResponse | Lost
    ) -> None:
        if isinstance(response, Lost):
            self._metadata.request_update(now)
            for tp in asked:
                self._later(now, tp)
            return
        for topic in response.topics:
            for answer in topic.partitions:
                tp = TopicPartition(topic.topic, answer.partition)
                if answer.error_code:
                    self._on_error(now, tp, answer.error_code)
                else:
                    self._complete(tp, asked[tp], answer)

    def _on_error(self, now: Micros, tp: TopicPartition, error: int) -> None:
        if error == errors.TOPIC_AUTHORIZATION_FAILED:
            raise AssertionError("nothing is authorized here")
        self._metadata.request_update(now)
        self._later(now, tp)

    def _later(self, now: Micros, tp: TopicPartition) -> None:
        state = self._subscriptions.get(tp)
        if state is not None:
            state.next_try = Micros(now + self._pause)
            self._outbox.set_timer(RETRY_TIMER, state.next_try)

    def _complete(self, tp: TopicPartition, asked: FetchPosition, answer: EpochEndOffset) -> None:
        """Kafka: ``SubscriptionState.maybeCompleteValidation``."""
        state = self._subscriptions.get(tp)
        if state is None or state.state is not FetchState.AWAIT_VALIDATION or state.position != asked:
            return
        unknown = answer.leader_epoch < 0 or answer.end_offset < 0
        if not unknown and answer.end_offset >= asked.offset:
            state.move(asked)
            return
        self._truncated(state, asked, None if unknown else answer)

    def _truncated(self, state: PartitionSubscription, asked: FetchPosition, ends: EpochEndOffset | None) -> None:
        policy = reset_policy(self._settings)
        if ends is None:
            why = because(facts.EPOCH_UNKNOWN, leader=asked.leader.id, epoch=asked.epoch)
        else:
            why = because(
                facts.EPOCH_ENDS,
                leader=asked.leader.id,
                asked=asked.epoch,
                epoch=ends.leader_epoch,
                end=ends.end_offset,
            )
        fact = facts.LogTruncationDetected(
            topic=state.tp.topic, partition=state.tp.partition, position=asked.offset, because=why
        )
        self._outbox.happened(fact)
        if policy is None:
            text = f"Detected log truncation of {state.tp} at offset {asked.offset}, epoch {asked.epoch}"
            self.failed = LogTruncationError(
                text, {state.tp: asked.offset}, {} if ends is None else {state.tp: ends.end_offset}
            )
        elif ends is None:
            state.reset(policy)
        else:
            state.move(FetchPosition(ends.end_offset, ends.leader_epoch, asked.leader))
