"""The active controller, or one that stands by (Kafka: ``QuorumController``).

Active: decide, append, replay at once, answer when committed. A decision sees what earlier ones appended, committed or
not; what it answers leaves when its last record is committed. A controller that is not active any more takes back what
was not committed. Standing by: replay what is committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from kafsim.controller.cluster_control import ClusterControl
from kafsim.controller.committed import CommittedReader, SnapshotGenerator
from kafsim.controller.config_control import ConfigControl
from kafsim.controller.directory_control import DirectoryControl
from kafsim.controller.feature_control import FeatureControl
from kafsim.controller.heartbeats import Heartbeats
from kafsim.controller.metadata_state import BROKER, MetadataState, PartitionKey
from kafsim.controller.producer_id_control import allocate
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.controller.reassignment_control import ReassignmentControl
from kafsim.controller.replication_control import ReplicationControl
from kafsim.controller.topic_control import TopicControl
from kafsim.protocol import errors, uuid
from kafsim.protocol.facts import controller as facts
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.facts.quorum import ControllerRenounced
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.protocol.messages.allocate_producer_ids import AllocateProducerIdsRequest, AllocateProducerIdsResponse
from kafsim.protocol.messages.alter_configs import AlterConfigsRequest
from kafsim.protocol.messages.alter_partition import AlterPartitionRequest, AlterPartitionResponse
from kafsim.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
)
from kafsim.protocol.messages.assign_replicas_to_dirs import AssignReplicasToDirsRequest, AssignReplicasToDirsResponse
from kafsim.protocol.messages.broker_heartbeat import BrokerHeartbeatRequest, BrokerHeartbeatResponse
from kafsim.protocol.messages.broker_registration import BrokerRegistrationRequest, BrokerRegistrationResponse
from kafsim.protocol.messages.controller_registration import (
    ControllerRegistrationRequest,
    ControllerRegistrationResponse,
)
from kafsim.protocol.messages.create_partitions import CreatePartitionsRequest
from kafsim.protocol.messages.create_topics import CreateTopicsRequest
from kafsim.protocol.messages.delete_topics import DeleteTopicsRequest
from kafsim.protocol.messages.elect_leaders import ElectLeadersRequest, ElectLeadersResponse
from kafsim.protocol.messages.incremental_alter_configs import IncrementalAlterConfigsRequest
from kafsim.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from kafsim.protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kafsim.protocol.messages.update_features import UpdateFeaturesRequest, UpdateFeaturesResponse
from kafsim.protocol.metadata.begin_transaction_record import BeginTransactionRecord
from kafsim.protocol.metadata.broker_registration_change_record import BrokerRegistrationChangeRecord
from kafsim.protocol.metadata.clear_elr_record import ClearElrRecord
from kafsim.protocol.metadata.config_record import ConfigRecord
from kafsim.protocol.metadata.end_transaction_record import EndTransactionRecord
from kafsim.protocol.metadata.feature_level_record import FeatureLevelRecord
from kafsim.protocol.metadata.no_op_record import NoOpRecord
from kafsim.protocol.metadata.partition_change_record import PartitionChangeRecord
from kafsim.protocol.metadata.partition_record import PartitionRecord
from kafsim.protocol.metadata.register_broker_record import RegisterBrokerRecord
from kafsim.protocol.metadata.remove_topic_record import RemoveTopicRecord
from kafsim.protocol.metadata.topic_record import TopicRecord
from kafsim.protocol.metadata.unregister_broker_record import UnregisterBrokerRecord
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import ConnectionId, EventNumber, Header, Micros, TimerKey, millis
from kafsim.protocol.uuid import Uuid

FEATURES = {
    "metadata.version": 30,
    "eligible.leader.replicas.version": 1,
    "group.version": 1,
    "share.version": 1,
    "streams.version": 1,
    "transaction.version": 2,
}
"""The finalized levels of a new cluster of Kafka 4.3."""
RERUN = millis(10)


class Deferred(NamedTuple):
    """An answer that waits for the commit of everything below ``offset``."""

    offset: int
    connection: ConnectionId
    header: Header
    response: Any


class Pending(NamedTuple):
    """A fact that is true once the record at ``offset`` is committed."""

    offset: int
    fact: Any
    event: EventNumber


class Controller:
    """``settings``: the static settings; ``features``: levels to begin a new cluster with."""

    def __init__(
        self,
        given: Surroundings,
        raft: RaftClient,
        settings: dict[str, Any],
        features: dict[str, int],
        cluster_id: str,
        static: frozenset[str] = frozenset(),
    ) -> None:
        self.given = given
        self.raft = raft
        raft.listeners.append(self)
        self.outbox = given.outbox
        self.settings = settings
        self.features = {n: level for n, level in {**FEATURES, **features}.items() if n != KRAFT_VERSION}
        self.state = MetadataState()
        self.heartbeats = Heartbeats(millis(settings["broker.session.timeout.ms"]))
        self.replication = ReplicationControl(self.state, settings, given.outbox, given.safeguards, given.address.id)
        self.topics = TopicControl(
            self.state,
            self.heartbeats,
            settings,
            given.entropy,
            self.replication.directory_of,
            node=given.address.id,
            static=static,
        )
        self.features_control = FeatureControl(
            self.state,
            settings,
            given.address.id,
            lambda: raft.static_voters.ids,
            lambda: raft.kraft_version,
            raft.voter_changes.upgrade,
        )
        self._directories = DirectoryControl(self.state, self.replication)
        self.configs = ConfigControl(self.state, settings)
        self.reassignments = ReassignmentControl(self.state, self.replication, self.topics)
        self.cluster = ClusterControl(
            self.state, self.heartbeats, self.replication, given.outbox, given.safeguards, cluster_id
        )
        self.on_metadata: Callable[[Micros], None] = lambda _: None
        """Told that what is committed has grown."""
        self.epoch: int | None = None
        """The epoch in which this controller is active; None while it stands by."""
        self._reader = CommittedReader(raft)
        self._snapshots = SnapshotGenerator(raft)
        self._deferred: deque[Deferred] = deque()
        self._pending: deque[Pending] = deque()
        self._handlers: dict[type, Callable[[Micros, ConnectionId, Header, Any], None]] = {
            BrokerHeartbeatRequest: self._on_heartbeat,
            BrokerRegistrationRequest: self._on_registration,
            AlterPartitionRequest: self._decide_with(self.replication.alter_partition),
            CreateTopicsRequest: self._decide_with(self.topics.create),
            DeleteTopicsRequest: self._decide_with(self.topics.delete),
            CreatePartitionsRequest: self._decide_with(self.topics.create_partitions),
            ElectLeadersRequest: self._decide_with(self.replication.elect_leaders),
            AlterConfigsRequest: self._decide_with(self.configs.replace),
            IncrementalAlterConfigsRequest: self._decide_with(self.configs.alter),
            AlterPartitionReassignmentsRequest: self._decide_with(self.reassignments.alter),
            ListPartitionReassignmentsRequest: self._decide_with(self.reassignments.list),
            AllocateProducerIdsRequest: self._on_allocate_producer_ids,
            UnregisterBrokerRequest: self._decide_with(self.cluster.unregister),
            ControllerRegistrationRequest: self._decide_with(self.cluster.register_controller),
            UpdateFeaturesRequest: self._on_update_features,
            AssignReplicasToDirsRequest: self._on_assign_replicas,
        }
        self._tasks: dict[TimerKey, tuple[Micros, Callable[[Micros], bool]]] = {
            "no-op": (millis(settings["metadata.max.idle.interval.ms"]), self._write_no_op),
            "fence-stale": (Micros(self.heartbeats.session_timeout // 8), self._fence_stale),
            "elect-unclean": (millis(settings["unclean.leader.election.interval.ms"]), self._elect_unclean),
        }
        if settings["auto.leader.rebalance.enable"]:
            period = Micros(settings["leader.imbalance.check.interval.seconds"] * 1_000_000)
            self._tasks["elect-preferred"] = (period, self._elect_preferred)

    @property
    def is_active(self) -> bool:
        return self.epoch is not None

    # --------------------------------------------------------------------------- inputs

    @property
    def applied(self) -> int:
        """The last committed offset that was replayed, -1 for none."""
        return self._reader.next_offset - 1

    @property
    def owes_answers(self) -> bool:
        return bool(self._deferred)

    @property
    def requests(self) -> list[type]:
        """The classes of requests that are served."""
        return list(self._handlers)

    def handle(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> bool:
        """A request; true when an answer follows, now or later."""
        if self.is_active:
            self._handlers[type(body)](now, connection, header, body)
            return True
        return self._refuse(connection, header, _RESPONSES.get(type(body)))

    def _refuse(self, connection: ConnectionId, header: Header, response: Any) -> bool:
        """Not the active controller. Where the response has no place for that, the connection ends instead."""
        if response is None:
            self.outbox.close(connection)
            return False
        self.outbox.reply(connection, header, response(error_code=errors.NOT_CONTROLLER))
        return True

    def has_timer(self, key: TimerKey) -> bool:
        return key in self._tasks

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if self.is_active:
            period, task = self._tasks[key]
            again = task(now)
            if self.is_active:
                self.outbox.set_timer(key, Micros(now + (RERUN if again else period)))

    # ----------------------------------------------------------------- the metadata quorum

    def on_committed(self, now: Micros) -> None:
        if self.is_active:
            self._complete(now)
        else:
            for replayed in self._reader.catch_up(self.state):
                self._note_broker(replayed.record)
        self.on_metadata(now)
        if not len(self.state.journal):
            self._snapshots.maybe_generate(now, self.state, self._reader.next_offset)

    def on_leader_change(self, now: Micros, leader: int, epoch: int) -> None:
        if leader == self.given.address.id:
            if self.is_active:
                self.epoch = epoch
            else:
                self._activate(now, epoch)
        elif self.is_active:
            self._renounce(now)

    def _activate(self, now: Micros, epoch: int) -> None:
        """The control record of this epoch is committed, and all before it has been replayed."""
        self.epoch = epoch
        self.outbox.happened(facts.ControllerActivated(epoch=epoch, log_end_offset=self.raft.next_offset))
        self._state_again()
        self.heartbeats.begin()
        for broker in self.state.brokers.values():
            self.heartbeats.register(broker.id, fenced=broker.fenced)
            if not broker.fenced:
                self.heartbeats.contact(broker.id, broker.epoch, now)
        if not self.state.features:
            self._append(now, self._bootstrap_records())
        for key, (period, _) in self._tasks.items():
            if period:
                self.outbox.set_timer(key, Micros(now + period))

    def _renounce(self, now: Micros) -> None:
        """Another one leads, or this one could not append: what is not committed may be lost, so it never was."""
        epoch, self.epoch = self.epoch, None
        assert epoch is not None, "not active"
        self.raft.resign(epoch)
        self.outbox.happened(ControllerRenounced(epoch=epoch, reverted_to=self._reader.next_offset))
        if self.given.safeguards.revert_on_renounce:
            self.state.journal.revert()
        else:
            self.state.journal.commit(self.raft.next_offset)
        self._pending.clear()
        deferred, self._deferred = self._deferred, deque()
        for one in deferred:
            has_code = hasattr(one.response, "error_code")
            self._refuse(one.connection, one.header, type(one.response) if has_code else None)
        for key in self._tasks:
            self.outbox.cancel_timer(key)

    def _bootstrap_records(self) -> list[Any]:
        levels = [FeatureLevelRecord(name=name, feature_level=level) for name, level in self.features.items() if level]
        records: list[Any] = [BeginTransactionRecord(name="Bootstrap records"), *levels]
        if self.features["eligible.leader.replicas.version"]:
            value = str(self.settings["min.insync.replicas"])
            records.append(
                ConfigRecord(resource_type=BROKER, resource_name="", name="min.insync.replicas", value=value)
            )
        return [*records, EndTransactionRecord()]

    def _complete(self, now: Micros) -> None:
        """State and answer what has been committed."""
        committed = self._reader.next_offset = self.raft.high_watermark
        self.state.journal.commit(committed - 1)
        while self._pending and self._pending[0].offset < committed:
            _, fact, event = self._pending.popleft()
            self.outbox.happened(fact, event)
        while self._deferred and self._deferred[0].offset <= committed:
            deferred = self._deferred.popleft()
            self.outbox.reply(deferred.connection, deferred.header, deferred.response)

    # --------------------------------------------------------------------------- deciding

    def _append(self, now: Micros, records: list[Any]) -> bool:
        """False when this node does not lead the quorum any more, and so is not active."""
        base = self.raft.append(now, records)
        if base is None:
            self._renounce(now)
            return False
        for number, record in enumerate(records):
            offset = base + number
            self.state.journal.offset = offset
            self._replay(record, offset)
        self.state.journal.offset = None
        return True

    def _replay(self, record: Any, offset: int) -> None:
        removed = self._removed(record)
        self.state.replay(record, offset)
        self._note_broker(record)
        if self.outbox.heard >= STATE:
            for fact in [*removed, *self._facts_of(record)]:
                self._pending.append(Pending(offset, fact, self.outbox.event))

    def _note_broker(self, record: Any) -> None:
        if isinstance(record, UnregisterBrokerRecord):
            self.heartbeats.forget(record.broker_id)
        if isinstance(record, (RegisterBrokerRecord, BrokerRegistrationChangeRecord)):
            broker = self.state.brokers[record.broker_id]
            self.heartbeats.register(broker.id, fenced=broker.fenced)

    def _removed(self, record: Any) -> list[Any]:
        if isinstance(record, UnregisterBrokerRecord):
            return [self._broker_fact(record.broker_id, gone=True)]
        if not isinstance(record, RemoveTopicRecord):
            return []
        name = self.state.topic_names[record.topic_id]
        count, topic_id = self.state.partition_counts[record.topic_id], uuid.to_text(record.topic_id)
        return [facts.TopicRemoved(topic=name, topic_id=topic_id, partitions=count)]

    def _state_again(self) -> None:
        """The end of the log may hold changes that the process before did not live to state."""
        for name, topic_id in self.state.topic_ids.items():
            self.outbox.happened(facts.TopicRegistered(topic=name, topic_id=uuid.to_text(topic_id)))
        brokers = [self._broker_fact(id_) for id_ in self.state.brokers]
        unfenced, fenced = [b for b in brokers if not b.fenced], [b for b in brokers if b.fenced]
        for fact in [*unfenced, *self._facts_of_topic(""), *fenced]:
            self.outbox.happened(fact)

    def _broker_fact(self, id_: int, *, gone: bool = False) -> facts.BrokerCommitted:
        broker = self.state.brokers[id_]
        return facts.BrokerCommitted(
            broker=id_,
            epoch=broker.epoch,
            fenced=broker.fenced or gone,
            in_controlled_shutdown=broker.in_controlled_shutdown,
        )

    def _facts_of(self, record: Any) -> list[Any]:
        if isinstance(record, TopicRecord):
            return [facts.TopicRegistered(topic=record.name, topic_id=uuid.to_text(record.topic_id))]
        if isinstance(record, (PartitionRecord, PartitionChangeRecord)):
            return [self._partition_fact((record.topic_id, record.partition_id))]
        if isinstance(record, (RegisterBrokerRecord, BrokerRegistrationChangeRecord)):
            return [self._broker_fact(record.broker_id)]
        if isinstance(record, FeatureLevelRecord):
            return [facts.FeatureLevelChanged(feature=record.name, level=record.feature_level)]
        if isinstance(record, ClearElrRecord):
            return self._facts_of_topic(record.topic_name)
        if isinstance(record, ConfigRecord) and record.name == "min.insync.replicas":
            return self._facts_of_topic(record.resource_name)
        return []

    def _facts_of_topic(self, name: str) -> list[Any]:
        ids: list[Uuid | None] = [self.state.topic_ids.get(name)] if name else list(self.state.topic_ids.values())
        return [
            self._partition_fact((topic_id, index))
            for topic_id in ids
            if topic_id is not None
            for index, _ in self.state.partitions_of(topic_id)
        ]

    def _partition_fact(self, key: PartitionKey) -> facts.PartitionRegistered:
        partition = self.state.partitions[key]
        return facts.PartitionRegistered(
            topic=self.state.topic_names[key[0]],
            partition=key[1],
            leader=partition.leader,
            leader_epoch=partition.leader_epoch,
            partition_epoch=partition.partition_epoch,
            replicas=partition.replicas,
            isr=partition.isr,
            elr=partition.elr,
            last_known_elr=partition.last_known_elr,
            min_isr=self.replication.min_isr(key[0]) if (key[0], 0) in self.state.partitions else 1,
        )

    def _answer(self, now: Micros, connection: ConnectionId, header: Header, records: list[Any], response: Any) -> int:
        """Append what was decided; the answer leaves when it, and whatever it saw, is committed."""
        if not records and hasattr(response, "error_code") and response.error_code:
            self.outbox.reply(connection, header, response)  # what Kafka throws waits for nothing
            return -1
        if records and not self._append(now, records):
            self._refuse(connection, header, type(response) if hasattr(response, "error_code") else None)
            return -1
        end = self.raft.next_offset
        self._deferred.append(Deferred(end, connection, header, response))
        if end <= self.raft.high_watermark:
            self._complete(now)
        return end

    def _decide_with(
        self, decide: Callable[[Any], tuple[list[Any], Any]]
    ) -> Callable[[Micros, ConnectionId, Header, Any], None]:
        def handle(now: Micros, connection: ConnectionId, header: Header, request: Any) -> None:
            self._answer(now, connection, header, *decide(request))

        return handle

    def _on_registration(
        self, now: Micros, connection: ConnectionId, header: Header, request: BrokerRegistrationRequest
    ) -> None:
        records, response = self.cluster.register(now, request, self.raft.next_offset)
        self._answer(now, connection, header, records, response)

    def _on_heartbeat(
        self, now: Micros, connection: ConnectionId, header: Header, request: BrokerHeartbeatRequest
    ) -> None:
        self.heartbeats.contact(request.broker_id, request.broker_epoch, now)
        error = self.cluster.check_epoch(request.broker_id, request.broker_epoch)
        if error:
            self._answer(now, connection, header, [], BrokerHeartbeatResponse(error_code=error))
            return
        records, response = self.cluster.heartbeat(request)
        end = self._answer(now, connection, header, records, response)
        if end < 0:
            return
        soft = self.heartbeats.brokers[request.broker_id]
        broker = self.state.brokers[request.broker_id]
        if broker.in_controlled_shutdown and not soft.fenced and not soft.is_shutting_down:
            soft.controlled_shutdown_offset = end - 1

    def _on_update_features(
        self, now: Micros, connection: ConnectionId, header: Header, request: UpdateFeaturesRequest
    ) -> None:
        self._answer(now, connection, header, *self.features_control.update(now, request, header.version or 2))

    def _on_assign_replicas(
        self, now: Micros, connection: ConnectionId, header: Header, request: AssignReplicasToDirsRequest
    ) -> None:
        stale = self.cluster.check_epoch(request.broker_id, request.broker_epoch)
        self._answer(now, connection, header, *self._directories.assign(request, stale))

    def _on_allocate_producer_ids(
        self, now: Micros, connection: ConnectionId, header: Header, request: AllocateProducerIdsRequest
    ) -> None:
        stale = self.cluster.check_epoch(request.broker_id, request.broker_epoch)
        self._answer(now, connection, header, *allocate(self.state, request, stale))

    # ---------------------------------------------------------------------- periodic tasks

    def _write_no_op(self, now: Micros) -> bool:
        self._append(now, [NoOpRecord()])
        return False

    def _fence_stale(self, now: Micros) -> bool:
        again, records = self.cluster.fence_stale(now)
        return again and (not records or self._append(now, records))

    def _elect_preferred(self, now: Micros) -> bool:
        return self._append_elections(now, self.replication.elect_preferred())

    def _elect_unclean(self, now: Micros) -> bool:
        return self._append_elections(now, self.replication.elect_unclean())

    def _append_elections(self, now: Micros, records: list[Any]) -> bool:
        if records:
            self._append(now, records)
        return len(records) >= 1_000


_RESPONSES: dict[type, Any] = {
    BrokerHeartbeatRequest: BrokerHeartbeatResponse,
    BrokerRegistrationRequest: BrokerRegistrationResponse,
    AlterPartitionRequest: AlterPartitionResponse,
    AllocateProducerIdsRequest: AllocateProducerIdsResponse,
    UnregisterBrokerRequest: UnregisterBrokerResponse,
    ControllerRegistrationRequest: ControllerRegistrationResponse,
    UpdateFeaturesRequest: UpdateFeaturesResponse,
    AssignReplicasToDirsRequest: AssignReplicasToDirsResponse,
    ElectLeadersRequest: ElectLeadersResponse,
    AlterPartitionReassignmentsRequest: AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest: ListPartitionReassignmentsResponse,
}
"""Responses that can say NOT_CONTROLLER for a whole request."""
