"""What a client knows of the cluster (Kafka: ``Metadata``): brokers, leaders with their epochs, topics it cares for.

An update with an older leader epoch than the one known is not believed. Metadata is fetched when something is missing,
when a broker's error says that it is out of date, and every metadata.max.age.ms; after each answer there is a pause,
which grows with answers that fail, and with answers that tell nothing new.

A client that can reach none of the brokers it knows forgets what it knows and begins again with its bootstrap servers
(KIP-899), as it does when metadata could not be had for metadata.recovery.rebootstrap.trigger.ms (KIP-1102). Only the
leader epochs stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from kafsim.clients.backoff import Backoff
from kafsim.clients.network import ClientNetwork, Lost
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.facts.client import ClientRebootstrapped
from kafsim.protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import ZERO_UUID, Uuid

TIMER = "metadata"
METADATA = 3
NO_LEADER = -1
NEVER_YET = Micros(-(1 << 62))


class Leader(NamedTuple):
    """-1 for a partition that has none."""

    id: int
    epoch: int


class ClientMetadata:
    """``bootstrap``: how many servers to ask first; they are called -1, -2 and so on. ``on_update``: after each answer.

    ``idle``: a topic that was not wanted for so long is forgotten; only producers do that, and they ask for a new topic
    alone.
    """

    def __init__(
        self,
        outbox: Outbox,
        network: ClientNetwork,
        entropy: Entropy,
        bootstrap: int,
        settings: dict[str, Any],
        on_update: Callable[[Micros], None],
        *,
        auto_create: bool,
        idle: Micros | None = None,
    ) -> None:
        self._outbox = outbox
        self._network = network
        self._bootstrap = [-1 - number for number in range(bootstrap)]
        self._on_update = on_update
        self._auto_create = auto_create
        self._idle = idle
        self._max_age = millis(settings["metadata.max.age.ms"])
        self._may_rebootstrap = settings["metadata.recovery.strategy"] == "rebootstrap"
        self._trigger = millis(settings["metadata.recovery.rebootstrap.trigger.ms"])
        self._backoff = Backoff(settings["retry.backoff.ms"], settings["retry.backoff.max.ms"], entropy)
        self.brokers: list[int] = []
        self.leaders: dict[TopicPartition, Leader] = {}
        self.partition_counts: dict[str, int] = {}
        self.topic_ids: dict[str, Uuid] = {}
        self.topic_names: dict[Uuid, str] = {}
        self.topic_errors: dict[str, int] = {}
        self.topics: dict[str, Micros] = {}
        """When each was wanted last."""
        self.version = 0
        """Grows with everything that is learned."""
        self._online: dict[TopicPartition, tuple[int, ...]] = {}
        """Replicas that serve."""
        self._replicas: dict[TopicPartition, tuple[int, ...]] = {}
        self._racks: dict[int, str] = {}
        self.all_topics = False
        """Everything is of interest, for a subscription by pattern."""
        self._epochs: dict[TopicPartition, int] = {}
        """The largest leader epochs seen; they outlive a new beginning."""
        self._taken: dict[str, MetadataResponseTopic] = {}
        """What was told of a topic last, if all was well."""
        self.asks_by_id = False
        """Of the topics that are assigned only the ids are known, for a subscription that the coordinator resolves."""
        self._wanted_ids: dict[Uuid, None] = {}
        self._new: dict[str, None] = {}
        """Topics that no answer has named yet."""
        self._asking = False
        self._wants_all = True
        self._wants_new = False
        self._asked_all = False
        self._attempts = 0
        self._equivalent = 0
        """Answers in a row that told nothing new."""
        self._refreshed = self._succeeded = NEVER_YET
        self._pause = self._pause_when_equivalent = 0
        self._began: Micros | None = None
        """Since when an update is due."""
        network.on_lost = self._on_lost

    def nodes(self) -> list[int]:
        return self.brokers or self._bootstrap

    # --------------------------------------------------------------------------- wishes

    def want(self, now: Micros, topic: str) -> None:
        """This topic is of interest; fetched soon if it is not known."""
        is_new = topic not in self.topics
        self.topics[topic] = now
        if is_new:
            self._new[topic] = None
            self._refreshed, self._equivalent = NEVER_YET, 0
            self._wants_new = True
            self.maybe_ask(now)
        elif topic not in self.partition_counts:
            self.request_update(now)

    def want_ids(self, now: Micros, ids: Iterable[Uuid]) -> None:
        """Only these topics are of interest of those that are not wanted by their names."""
        before, self._wanted_ids = self._wanted_ids, dict.fromkeys(ids)
        for id_ in before:
            name = self.topic_names.get(id_)
            if id_ not in self._wanted_ids and name is not None and name not in self.topics:
                self._forget(name)
        if any(id_ not in self.topic_names for id_ in self._wanted_ids):
            self.request_new(now)

    def request_new(self, now: Micros) -> None:
        """Another answer is wanted than the one that is on its way, for something new is asked about."""
        self._wants_new = True
        self.maybe_ask(now)

    def retain(self, topics: Collection[str]) -> None:
        """Only these are of interest any more."""
        for topic in [name for name in self.topics if name not in topics]:
            del self.topics[topic]
            self._new.pop(topic, None)
            if not self.all_topics:
                self._forget(topic)

    def request_update(self, now: Micros) -> None:
        """What is known is out of date."""
        self._wants_all = True
        self.maybe_ask(now)

    def leader(self, tp: TopicPartition) -> Leader | None:
        leader = self.leaders.get(tp)
        return None if leader is None or leader.id == NO_LEADER else leader

    def hint(self, tp: TopicPartition, leader: Leader) -> bool:
        """A broker named the leader in an error (KIP-951); was that news?"""
        known = self.leaders.get(tp)
        if leader.id in self.brokers and known is not None and leader.epoch > known.epoch:
            self.leaders[tp] = leader
            self._epochs[tp] = leader.epoch
            self.version += 1
            return True
        return False

    @property
    def is_update_wanted(self) -> bool:
        return self._wants_all or self._wants_new or self._asking

    def racks_of(self, topic: str) -> tuple[frozenset[str], ...] | None:
        """Of the replicas of each partition; None for a topic that is not known."""
        count = self.partition_counts.get(topic)
        if count is None:
            return None
        replicas = [self._replicas.get(TopicPartition(topic, index), ()) for index in range(count)]
        return tuple(frozenset(self._racks[r] for r in brokers if self._racks.get(r)) for brokers in replicas)

    def is_online(self, tp: TopicPartition, broker: int) -> bool:
        """Does this replica serve, as far as is known?"""
        return broker in self.brokers and broker in self._online.get(tp, ())

    # ---------------------------------------------------------------------------- asking

    def _due_at(self, now: Micros) -> Micros:
        """When the next request may go: after the pause, once something is wanted or all is too old."""
        expires = self._succeeded + self._max_age
        if expires <= now:
            self._equivalent = 0
        pause = max(self._pause, self._pause_when_equivalent if self._equivalent else 0)
        wanted = now if self._wants_all or self._wants_new else expires
        return Micros(max(wanted, self._refreshed + pause))

    def maybe_ask(self, now: Micros) -> None:
        """Ask if something is wanted and some broker can be asked; run whenever a connection may have become ready."""
        if self._asking:
            return
        due = self._due_at(now)
        if due > now:
            self._outbox.set_timer(TIMER, due)
            return
        if self._began is None:
            self._began = now
        if now - self._began > self._trigger and self._may_rebootstrap:
            self._network.close_all(now)
            self.rebootstrap(now)
        node = self._network.least_loaded(self.nodes(), now)
        if node is None and self._may_rebootstrap and not self._network.has_ready:
            self.rebootstrap(now)
            node = self._network.least_loaded(self.nodes(), now)
        if node is None:
            self._outbox.set_timer(TIMER, min(self._network.wake_at(node) for node in self.nodes()))
        elif self._network.is_ready(now, node):
            self._ask(now, node)

    def _ask(self, now: Micros, node: int) -> None:
        only_new = not self._wants_all and self._idle is not None and self._succeeded + self._max_age > now
        self._asked_all = not only_new
        self._asking, self._wants_new = True, False
        asked = tuple(MetadataRequestTopic(name=topic) for topic in (self._new if only_new else self.topics))
        by_id = self.asks_by_id and not asked
        if by_id:
            asked = tuple(MetadataRequestTopic(topic_id=id_, name=None) for id_ in self._wanted_ids)
        elif self._wanted_ids:  # brokers take names or ids, not both
            known = (self.topic_names.get(id_) for id_ in self._wanted_ids)
            asked += tuple(MetadataRequestTopic(name=name) for name in known if name is not None)
        request = MetadataRequest(
            topics=None if self.all_topics else asked,
            allow_auto_topic_creation=self._auto_create and not self._wanted_ids,
        )
        self._network.send(now, node, METADATA, request, self._on_answer, version=13)

    def _on_lost(self, now: Micros) -> None:
        """A connection broke: an update that is due has failed, another one is wanted."""
        if not self._asking and (self._wants_all or self._wants_new) and self._due_at(now) <= now:
            self._failed(now)
        self.request_update(now)

    def _on_answer(self, now: Micros, response: MetadataResponse | Lost) -> None:
        self._asking = False
        if isinstance(response, Lost) or not response.brokers:
            self._failed(now)
            self.request_update(now)
            return
        self._began = None
        if response.error_code == errors.REBOOTSTRAP_REQUIRED and self._may_rebootstrap:
            self._network.close_all(now)
            self.rebootstrap(now)
            self.maybe_ask(now)
            return
        self._refreshed, self._attempts, self._pause = now, 0, self._backoff.after(0)
        if self._asked_all:
            self._wants_all, self._succeeded = False, now
        self._equivalent += 1
        self._take(now, response)
        self._pause_when_equivalent = self._backoff.after(self._equivalent - 1) if self._equivalent > 1 else self._pause
        self._on_update(now)
        self.maybe_ask(now)

    def _failed(self, now: Micros) -> None:
        self._refreshed, self._equivalent = now, 0
        self._pause = self._backoff.after(self._attempts)
        self._attempts += 1

    def rebootstrap(self, now: Micros) -> None:
        """Forget the cluster, and begin again with the bootstrap servers."""
        if self.brokers:
            self._outbox.happened(ClientRebootstrapped(known=tuple(self.brokers)))
        for table in (
            self.brokers,
            self.leaders,
            self.partition_counts,
            self.topic_ids,
            self.topic_names,
            self._online,
            self._taken,
        ):
            table.clear()
        self._began = now
        self._wants_all = True
        self.version += 1

    # ----------------------------------------------------------------------------- learning

    def _take(self, now: Micros, response: MetadataResponse) -> None:
        self.version += 1
        self.brokers = [broker.node_id for broker in response.brokers]
        self._racks = {broker.node_id: broker.rack or "" for broker in response.brokers}
        if self.all_topics:
            named = {topic.name: None for topic in response.topics}
            for name in [name for name in self.partition_counts if name not in named]:
                self._forget(name)
        self.topic_errors = {}
        if self._idle is not None:
            self._drop_idle(now, self._idle)
        for topic in response.topics:
            if topic.name is None:
                gone = self.topic_names.get(topic.topic_id)
                if gone is not None:
                    self._forget(gone)
                continue
            self._new.pop(topic.name, None)
            if topic.error_code:
                self.topic_errors[topic.name] = topic.error_code
                self._wants_all |= topic.error_code in errors.INVALID_METADATA
                self._forget(topic.name)
            else:
                self._take_topic(topic.name, topic)

    def _drop_idle(self, now: Micros, idle: Micros) -> None:
        for topic in [name for name, at in self.topics.items() if at + idle <= now and name not in self._new]:
            del self.topics[topic]
            self._forget(topic)

    def _take_topic(self, name: str, topic: MetadataResponseTopic) -> None:
        if name not in self.topics and not self.all_topics and topic.topic_id not in self._wanted_ids:
            return
        if self._taken.get(name) is topic:  # brokers make it once for all who ask
            return
        is_other = self.topic_ids.get(name) != topic.topic_id
        if is_other and name in self.topic_ids:
            self._forget(name)
        self.topic_ids[name] = topic.topic_id
        self.topic_names[topic.topic_id] = name
        self.partition_counts[name] = len(topic.partitions)
        for partition in topic.partitions:
            self._take_partition(TopicPartition(name, partition.partition_index), partition, is_other=is_other)
        if not any(partition.error_code for partition in topic.partitions):
            self._taken[name] = topic

    def _take_partition(self, tp: TopicPartition, partition: MetadataResponsePartition, *, is_other: bool) -> None:
        self._wants_all |= partition.error_code in errors.INVALID_METADATA
        seen = None if is_other else self._epochs.get(tp)
        if seen is not None and partition.leader_epoch < seen:
            return
        if seen is None or partition.leader_epoch > seen:
            self._equivalent = 0
        self._epochs[tp] = partition.leader_epoch
        self.leaders[tp] = Leader(partition.leader_id, partition.leader_epoch)
        offline = partition.offline_replicas
        self._replicas[tp] = partition.replica_nodes
        self._online[tp] = tuple(broker for broker in partition.replica_nodes if broker not in offline)

    def _forget(self, name: str) -> None:
        self._taken.pop(name, None)
        id_ = self.topic_ids.pop(name, ZERO_UUID)
        self.topic_names.pop(id_, None)
        for index in range(self.partition_counts.pop(name, 0)):
            self.leaders.pop(TopicPartition(name, index), None)
            self._online.pop(TopicPartition(name, index), None)

    def on_timer(self, now: Micros) -> None:
        """A backoff is over, or the metadata has become old."""
        self.maybe_ask(now)
