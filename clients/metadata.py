"""What a client knows of the cluster (Kafka: ``Metadata``): brokers, leaders with their epochs, topics it cares for.

An update with an older leader epoch than the one known is not believed. Metadata is fetched when something is missing,
when a broker's error says that it is out of date, and every metadata.max.age.ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kafsim.clients.backoff import Backoff
from kafsim.clients.network import ClientNetwork, Lost
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseTopic,
)
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import ZERO_UUID, Uuid

TIMER = "metadata"
METADATA = 3
NO_LEADER = -1


class Leader(NamedTuple):
    """-1 for a partition that has none."""

    id: int
    epoch: int


class ClientMetadata:
    """``bootstrap``: brokers to ask first. ``on_update`` is told after each answer."""

    def __init__(
        self,
        outbox: Outbox,
        network: ClientNetwork,
        entropy: Entropy,
        bootstrap: list[int],
        settings: dict[str, Any],
        on_update: Callable[[Micros], None],
        *,
        auto_create: bool,
    ) -> None:
        self._outbox = outbox
        self._network = network
        self._bootstrap = bootstrap
        self._on_update = on_update
        self._auto_create = auto_create
        self._max_age = millis(settings["metadata.max.age.ms"])
        self._backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], entropy)
        self.brokers: list[int] = []
        self.leaders: dict[TopicPartition, Leader] = {}
        self.partition_counts: dict[str, int] = {}
        self.topic_ids: dict[str, Uuid] = {}
        self.topic_names: dict[Uuid, str] = {}
        self.topic_errors: dict[str, int] = {}
        self.topics: dict[str, None] = {}
        self.version = 0
        """Grows with everything that is learned."""
        self._online: dict[TopicPartition, tuple[int, ...]] = {}
        """Replicas that serve."""
        self._asking = False
        self._wanted = False
        self._failures = 0
        self._not_before = Micros(0)
        network.on_lost = self.request_update

    def nodes(self) -> list[int]:
        return self.brokers or self._bootstrap

    def want(self, now: Micros, topic: str) -> None:
        """This topic is of interest; fetched soon if it is not known."""
        if topic not in self.topics:
            self.topics[topic] = None
            self._failures = 0
            self._not_before = now
            self.request_update(now)
        elif topic not in self.partition_counts:
            self.request_update(now)

    def request_update(self, now: Micros) -> None:
        """What is known is out of date."""
        self._wanted = True
        self.maybe_ask(now)

    def leader(self, tp: TopicPartition) -> Leader | None:
        leader = self.leaders.get(tp)
        return None if leader is None or leader.id == NO_LEADER else leader

    def hint(self, tp: TopicPartition, leader: Leader) -> None:
        """A broker named the leader in an error (KIP-951)."""
        known = self.leaders.get(tp)
        if leader.id != NO_LEADER and (known is None or leader.epoch > known.epoch):
            self.leaders[tp] = leader
            self.version += 1

    def is_online(self, tp: TopicPartition, broker: int) -> bool:
        """Does this replica serve, as far as is known?"""
        return broker in self.brokers and broker in self._online.get(tp, ())

    # ---------------------------------------------------------------------------- asking

    def maybe_ask(self, now: Micros) -> None:
        """Ask if something is wanted and some broker can be asked; run whenever a connection may have become ready."""
        if self._asking or not self._wanted:
            return
        if now < self._not_before:
            self._outbox.set_timer(TIMER, self._not_before)
            return
        if not any(self._network.is_checked(node) for node in self.nodes()):
            self.brokers = []  # rebootstrap (KIP-899, KIP-1102): the brokers known may all be gone
        node = self._network.least_loaded(self.nodes(), now)
        if node is None:
            self._outbox.set_timer(TIMER, min(self._network.wake_at(node) for node in self.nodes()))
            return
        if not self._network.is_ready(now, node):
            return
        self._asking, self._wanted = True, False
        request = MetadataRequest(
            topics=tuple(MetadataRequestTopic(name=topic) for topic in self.topics),
            allow_auto_topic_creation=self._auto_create,
        )
        self._network.send(now, node, METADATA, request, self._on_answer, version=13)

    def _on_answer(self, now: Micros, response: MetadataResponse | Lost) -> None:
        self._asking = False
        if isinstance(response, Lost):
            self._failed(now)
            self.request_update(now)
            return
        self._take(response)
        incomplete = any(topic not in self.partition_counts for topic in self.topics) or any(
            leader.id == NO_LEADER for leader in self.leaders.values()
        )
        if incomplete:
            self._failed(now)
            self._wanted = True
        else:
            self._failures = 0
            self._not_before = Micros(now + self._backoff.after(0))
        self._outbox.set_timer(TIMER, Micros(now + self._max_age))
        self._on_update(now)
        self.maybe_ask(now)

    def _failed(self, now: Micros) -> None:
        self._not_before = Micros(now + self._backoff.after(self._failures))
        self._failures += 1

    def _take(self, response: MetadataResponse) -> None:
        self.version += 1
        self.brokers = [broker.node_id for broker in response.brokers] or self.brokers
        self.topic_errors = {}
        for topic in response.topics:
            if topic.name is None:
                continue
            if topic.error_code:
                self.topic_errors[topic.name] = topic.error_code
                if topic.error_code == errors.UNKNOWN_TOPIC_OR_PARTITION:
                    self._forget(topic.name)
            else:
                self._take_topic(topic.name, topic)

    def _take_topic(self, name: str, topic: MetadataResponseTopic) -> None:
        if self.topic_ids.get(name, topic.topic_id) != topic.topic_id:
            self._forget(name)
        self.topic_ids[name] = topic.topic_id
        self.topic_names[topic.topic_id] = name
        self.partition_counts[name] = len(topic.partitions)
        for partition in topic.partitions:
            tp = TopicPartition(name, partition.partition_index)
            known = self.leaders.get(tp)
            if known is None or partition.leader_epoch >= known.epoch:
                self.leaders[tp] = Leader(partition.leader_id, partition.leader_epoch)
            offline = partition.offline_replicas
            self._online[tp] = tuple(broker for broker in partition.replica_nodes if broker not in offline)

    def _forget(self, name: str) -> None:
        id_ = self.topic_ids.pop(name, ZERO_UUID)
        self.topic_names.pop(id_, None)
        for index in range(self.partition_counts.pop(name, 0)):
            self.leaders.pop(TopicPartition(name, index), None)
            self._online.pop(TopicPartition(name, index), None)

    def on_timer(self, now: Micros) -> None:
        """A backoff is over, or the metadata has become old."""
        self.request_update(now)
