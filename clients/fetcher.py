"""Fetches records from the brokers and hands them out (Kafka: ``AbstractFetch``, ``FetchCollector``).

A partition is fetched when it has a valid position and nothing of it waits to be polled. Each broker has at most one
fetch under way, and none while something from it waits. It is asked of the leader, or of the replica that the leader
prefers for the consumer's rack (KIP-392) as long as that one serves.
"""

from __future__ import annotations

from typing import Any

from kafsim.clients.errors import KafkaError, OffsetOutOfRangeError
from kafsim.clients.fetch_buffer import Collected, CompletedFetch, FetchBuffer
from kafsim.clients.fetch_session import FetchSessionHandler, PartitionKey
from kafsim.clients.metadata import ClientMetadata, Leader
from kafsim.clients.network import FAR, ClientNetwork, Lost
from kafsim.clients.offsets import reset_policy
from kafsim.clients.subscription_state import PartitionSubscription, SubscriptionState
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import client as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, PartitionData
from kafsim.protocol.types import Micros, TopicPartition, millis

FETCH = 1
RETRY_TIMER = "retry"

ASK_FOR_METADATA = frozenset(
    {
        errors.NOT_LEADER_OR_FOLLOWER,
        errors.REPLICA_NOT_AVAILABLE,
        errors.KAFKA_STORAGE_ERROR,
        errors.FENCED_LEADER_EPOCH,
        errors.OFFSET_NOT_AVAILABLE,
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.UNKNOWN_TOPIC_ID,
        errors.INCONSISTENT_TOPIC_ID,
    }
)
PASSING = frozenset({errors.UNKNOWN_LEADER_EPOCH, errors.UNKNOWN_SERVER_ERROR})


class Fetcher:
    """``settings`` of a consumer."""

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
        self._sessions: dict[int, FetchSessionHandler] = {}
        self._fetching: dict[int, None] = {}
        self._now = Micros(0)
        self.buffer = FetchBuffer(subscriptions, self._look)

    # ------------------------------------------------------------------------------- asking

    def send_fetches(self, now: Micros) -> None:
        """One request to each broker that can give more."""
        buffered = dict.fromkeys(self.buffer.partitions)
        states = self._subscriptions.assigned
        holding = {self._node_for(now, states[tp]): None for tp in buffered if tp in states and states[tp].is_fetchable}
        by_node: dict[int, dict[PartitionKey, FetchPartition]] = {}
        for state in states.values():
            if state.tp in buffered or not state.is_fetchable or state.position is None:
                continue
            node, topic_id = self._node_for(now, state), self._metadata.topic_ids.get(state.tp.topic)
            if node is None or topic_id is None:
                self._metadata.request_update(now)
                continue
            if node in self._fetching or node in holding:
                continue
            by_node.setdefault(node, {})[topic_id, state.tp.partition] = FetchPartition(
                partition=state.tp.partition,
                current_leader_epoch=state.position.leader.epoch,
                fetch_offset=state.position.offset,
                partition_max_bytes=self._settings["max.partition.fetch.bytes"],
            )
        for node, wanted in by_node.items():
            self._ask_when_ready(now, node, wanted)

    def _node_for(self, now: Micros, state: PartitionSubscription) -> int | None:
        """Whom to fetch from: the leader of the position, or the replica that it prefers while that one serves."""
        position = state.position
        if position is None or position.leader.id < 0:
            return None
        preferred = state.preferred_replica(now)
        if preferred is None:
            return position.leader.id
        if self._metadata.is_online(state.tp, preferred):
            return preferred
        state.preferred = None
        self._metadata.request_update(now)
        return position.leader.id

    def _ask_when_ready(self, now: Micros, node: int, wanted: dict[PartitionKey, FetchPartition]) -> None:
        if self._network.is_ready(now, node):
            self._ask(now, node, wanted)
        elif self._network.wake_at(node) < FAR:
            self._outbox.set_timer(RETRY_TIMER, self._network.wake_at(node))

    def _ask(self, now: Micros, node: int, wanted: dict[PartitionKey, FetchPartition]) -> None:
        parts = self._sessions.setdefault(node, FetchSessionHandler()).build(wanted)
        self._fetching[node] = None
        request = FetchRequest(
            max_wait_ms=self._settings["fetch.max.wait.ms"],
            min_bytes=self._settings["fetch.min.bytes"],
            max_bytes=self._settings["fetch.max.bytes"],
            isolation_level=int(self._settings["isolation.level"] == "read_committed"),
            session_id=parts.session_id,
            session_epoch=parts.session_epoch,
            topics=parts.topics,
            forgotten_topics_data=parts.forgotten,
            rack_id=self._settings["client.rack"],
        )

        def answered(at: Micros, response: FetchResponse | Lost) -> None:
            del self._fetching[node]
            self._on_fetched(at, node, wanted, response)

        self._network.send(now, node, FETCH, request, answered, version=18)

    # ------------------------------------------------------------------------------ answers

    def _on_fetched(
        self, now: Micros, node: int, asked: dict[PartitionKey, FetchPartition], response: FetchResponse | Lost
    ) -> None:
        session = self._sessions[node]
        if isinstance(response, Lost):
            session.lost()
            self._forget_preferred(asked)
            return
        if not session.take(response):
            if response.error_code == errors.FETCH_SESSION_TOPIC_ID_ERROR:
                self._metadata.request_update(now)
            return
        for topic in response.responses:
            name = self._metadata.topic_names.get(topic.topic_id)
            for answer in topic.partitions:
                request = asked.get((topic.topic_id, answer.partition_index))
                if name is not None and request is not None:
                    self._take(TopicPartition(name, answer.partition_index), request.fetch_offset, answer)

    def _take(self, tp: TopicPartition, offset: int, answer: PartitionData) -> None:
        current = answer.current_leader
        if answer.error_code in (errors.NOT_LEADER_OR_FOLLOWER, errors.FENCED_LEADER_EPOCH) and current.leader_id >= 0:
            leader = Leader(current.leader_id, current.leader_epoch)
            state = self._subscriptions.get(tp)
            if self._metadata.hint(tp, leader) and state is not None:
                state.meet_leader(leader)
        if tp in self._subscriptions.assigned:
            self.buffer.add(CompletedFetch(tp, offset, answer, next_offset=offset))

    def _forget_preferred(self, asked: dict[PartitionKey, FetchPartition]) -> None:
        for topic_id, index in asked:
            name = self._metadata.topic_names.get(topic_id)
            state = None if name is None else self._subscriptions.get(TopicPartition(name, index))
            if state is not None:
                state.preferred = None

    # ---------------------------------------------------------------------------- handing out

    def collect(self, now: Micros, most: int) -> Collected:
        """Up to so many records; raises what a partition failed with."""
        self._now = now
        return self.buffer.collect(most)

    def _look(self, fetch: CompletedFetch) -> bool:
        """Kafka: ``FetchCollector.initialize``."""
        state = self._subscriptions.get(fetch.tp)
        if state is None or not state.is_valid or state.position is None:
            return False
        if fetch.answer.error_code:
            self._on_error(state, fetch)
            self._subscriptions.move_to_end(fetch.tp)
            return False
        if state.position.offset != fetch.fetch_offset:
            return False
        self._note(state, fetch.answer)
        fetch.decode(check_crcs=self._settings["check.crcs"])
        return True

    def _note(self, state: PartitionSubscription, answer: PartitionData) -> None:
        state.high_watermark, state.last_stable = answer.high_watermark, answer.last_stable_offset
        if answer.log_start_offset >= 0:
            state.log_start = answer.log_start_offset
        if answer.preferred_read_replica >= 0:
            until = Micros(self._now + millis(self._settings["metadata.max.age.ms"]))
            if state.prefer(answer.preferred_read_replica, until):
                why = because(facts.SAME_RACK, rack=self._settings["client.rack"])
                self._outbox.happened(
                    facts.ReadReplicaChosen(
                        topic=state.tp.topic,
                        partition=state.tp.partition,
                        replica=answer.preferred_read_replica,
                        because=why,
                    )
                )

    def _on_error(self, state: PartitionSubscription, fetch: CompletedFetch) -> None:
        error = fetch.answer.error_code
        if error in ASK_FOR_METADATA:
            state.preferred = None
            self._metadata.request_update(self._now)
        elif error == errors.OFFSET_OUT_OF_RANGE:
            self._on_out_of_range(state, fetch.fetch_offset)
        elif error not in PASSING:
            raise KafkaError(error, f"fetching {fetch.tp} from offset {fetch.fetch_offset}")

    def _on_out_of_range(self, state: PartitionSubscription, offset: int) -> None:
        if state.preferred is not None:
            state.preferred = None
            return
        if state.position is None or state.position.offset != offset:
            return
        policy = reset_policy(self._settings)
        if policy is None:
            text = f"Fetch position {offset} is out of range for partition {state.tp}, and no reset policy is set"
            raise OffsetOutOfRangeError(text, {state.tp: offset})
        why = because(facts.RESET, why=f"offset {offset} is out of range", policy=self._settings["auto.offset.reset"])
        self._outbox.happened(facts.PositionReset(topic=state.tp.topic, partition=state.tp.partition, because=why))
        state.reset(policy)
