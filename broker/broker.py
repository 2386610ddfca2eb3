"""The core of a broker (Kafka: ``BrokerServer``, ``KafkaApis``): its parts, and what goes to which of them.

Start: load the metadata and register; once caught up, open the logs and ask to be unfenced; once unfenced, serve.
Before that, and when it stops, connections are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from kafsim.broker.alter_partition import TIMER as ALTER_PARTITION_TIMER
from kafsim.broker.alter_partition import AlterPartitionSender
from kafsim.broker.apis import delete_records, fetch, produce
from kafsim.broker.apis.delete_records import DeleteRecordsApi
from kafsim.broker.apis.describe_cluster import DescribeClusterApi
from kafsim.broker.apis.describe_configs import DescribeConfigsApi
from kafsim.broker.apis.describe_producers import DescribeProducersApi
from kafsim.broker.apis.fetch import FetchApi
from kafsim.broker.apis.find_coordinator import FindCoordinatorApi
from kafsim.broker.apis.init_producer_id import InitProducerIdApi
from kafsim.broker.apis.list_offsets import ListOffsetsApi
from kafsim.broker.apis.log_dirs import AlterReplicaLogDirsApi, DescribeLogDirsApi
from kafsim.broker.apis.metadata import MetadataApi
from kafsim.broker.apis.offset_for_leader_epoch import OffsetForLeaderEpochApi
from kafsim.broker.apis.produce import ProduceApi
from kafsim.broker.assignments import TIMER as ASSIGNMENTS_TIMER
from kafsim.broker.assignments import Assignments
from kafsim.broker.config_admin import AlterConfigsApi, LegacyAlterConfigsApi
from kafsim.broker.fetch_session import FetchSessionCache
from kafsim.broker.lifecycle import FAILURE_TIMER, PATIENCE_TIMER, BrokerLifecycle, BrokerLifecycleState
from kafsim.broker.lifecycle import TIMER as LIFECYCLE_TIMER
from kafsim.broker.log_dir_mover import TIMER as MOVER_TIMER
from kafsim.broker.metadata_loader import MetadataLoader
from kafsim.broker.offsets_partitions import CoordinatorElections, OffsetsPartition
from kafsim.broker.producer_ids import ProducerIds
from kafsim.broker.replica_manager import (
    CHECKPOINT_TIMER,
    CLEANER_TIMER,
    FLUSH_TIMER,
    HIGH_WATERMARK_TIMER,
    ISR_TIMER,
    RETENTION_TIMER,
    ReplicaManager,
)
from kafsim.broker.replica_selector import ReplicaSelector
from kafsim.controller.api_versions import ApiVersionsApi
from kafsim.controller.controller_channel import ControllerChannel
from kafsim.controller.raft.raft_client import POLL, RaftClient
from kafsim.coordinator.consumer_group_service import ConsumerGroupService
from kafsim.coordinator.coordinator_runtime import TIMERS as COORDINATOR_TIMERS
from kafsim.coordinator.coordinator_runtime import TOPIC as OFFSETS_TOPIC
from kafsim.coordinator.coordinator_runtime import CoordinatorRuntime
from kafsim.coordinator.group_coordinator_service import GroupCoordinatorService
from kafsim.coordinator.offset_service import OffsetService
from kafsim.coordinator.topics import Topics
from kafsim.protocol.effects import Terminate
from kafsim.protocol.messages.add_raft_voter import AddRaftVoterRequest
from kafsim.protocol.messages.alter_configs import AlterConfigsRequest
from kafsim.protocol.messages.alter_partition_reassignments import AlterPartitionReassignmentsRequest
from kafsim.protocol.messages.alter_replica_log_dirs import AlterReplicaLogDirsRequest
from kafsim.protocol.messages.api_versions import ApiVersionsRequest
from kafsim.protocol.messages.create_partitions import CreatePartitionsRequest
from kafsim.protocol.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from kafsim.protocol.messages.delete_records import DeleteRecordsRequest
from kafsim.protocol.messages.delete_topics import DeleteTopicsRequest
from kafsim.protocol.messages.describe_cluster import DescribeClusterRequest
from kafsim.protocol.messages.describe_configs import DescribeConfigsRequest
from kafsim.protocol.messages.describe_log_dirs import DescribeLogDirsRequest
from kafsim.protocol.messages.describe_producers import DescribeProducersRequest
from kafsim.protocol.messages.describe_quorum import DescribeQuorumRequest
from kafsim.protocol.messages.elect_leaders import ElectLeadersRequest
from kafsim.protocol.messages.fetch import FetchRequest
from kafsim.protocol.messages.find_coordinator import FindCoordinatorRequest
from kafsim.protocol.messages.incremental_alter_configs import IncrementalAlterConfigsRequest
from kafsim.protocol.messages.init_producer_id import InitProducerIdRequest
from kafsim.protocol.messages.list_offsets import ListOffsetsRequest
from kafsim.protocol.messages.list_partition_reassignments import ListPartitionReassignmentsRequest
from kafsim.protocol.messages.metadata import MetadataRequest
from kafsim.protocol.messages.offset_for_leader_epoch import OffsetForLeaderEpochRequest
from kafsim.protocol.messages.produce import ProduceRequest
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest
from kafsim.protocol.messages.unregister_broker import UnregisterBrokerRequest
from kafsim.protocol.messages.update_features import UpdateFeaturesRequest
from kafsim.protocol.muting import MutedConnections
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import CallId, ConnectionId, FlushKey, Header, Micros, TimerKey, millis
from kafsim.storage.log_manager import LogManager

Handle = Callable[[Micros, ConnectionId, Header, Any], None]
FORWARD_PATIENCE = millis(60_000)


class Broker:
    """``settings`` are parsed broker settings, ``static`` the names of those that were given.

    ``raft`` is the node's part in the metadata quorum; ``owners`` tells whose an outgoing connection is.
    """

    def __init__(
        self,
        given: Surroundings,
        raft: RaftClient,
        logs: LogManager,
        settings: dict[str, Any],
        owners: dict[ConnectionId, Any],
        rack: str | None,
        static: Collection[str] = (),
    ) -> None:
        self.given = given
        self.outbox = given.outbox
        self.raft = raft
        self.logs = logs
        self.settings = settings
        self.on_closed: Callable[[Micros], None] = lambda _: self.outbox.exit()
        """What to do when the logs are closed after a controlled shutdown."""
        self._static = static
        self._owners = owners
        self._requests = MutedConnections(given.outbox, self._handle, self._complete_fetches)
        self._heartbeats = self._channel("heartbeat", patience=millis(settings["broker.heartbeat.interval.ms"]))
        self._isr_channel = self._channel("alter-partition")
        self._forwarding = self._channel("forwarding", patience=FORWARD_PATIENCE)
        self.metadata = MetadataLoader(raft, self._on_publish)
        raft.listeners.append(self.metadata)
        self.isr_changes = AlterPartitionSender(given.outbox, self._isr_channel, given.address.id)
        self.replicas = ReplicaManager(given, settings, self.metadata.state, self.logs, self.isr_changes, self._owners)
        sessions = FetchSessionCache(settings["max.incremental.fetch.session.cache.slots"], given.entropy)
        selector = ReplicaSelector(given.address.id, self.metadata.state, settings["replica.selector.class"])
        self.fetches = FetchApi(given.outbox, self.replicas, sessions, settings["fetch.max.bytes"], selector)
        self.replicas.fetches = self.fetches  # type: ignore[assignment]
        self.produces = ProduceApi(given, self.replicas)
        self.deletions = DeleteRecordsApi(given.outbox, self.replicas)
        self.replicas.deletions = self.deletions  # type: ignore[assignment]
        self.lifecycle = BrokerLifecycle(
            given,
            self._heartbeats,
            interval=millis(settings["broker.heartbeat.interval.ms"]),
            patience=millis(settings["initial.broker.registration.timeout.ms"]),
            cluster_id=raft.cluster_id,
            rack=rack,
            directories=self.logs.ids,
            failure_patience=millis(settings["log.dir.failure.timeout.ms"]),
            previous_epoch=self.logs.previous_broker_epoch,
            metadata_offset=lambda: self.metadata.applied,
            on_state=self._on_state,
        )
        topics = Topics(self.metadata.state, lambda: self.metadata.applied)
        self.groups = CoordinatorRuntime(given, settings, lambda index: OffsetsPartition(self.replicas, index), topics)
        self.replicas.groups = self.groups  # type: ignore[assignment]
        self._elections = CoordinatorElections(self.groups, self.metadata.state, given.address.id)
        self.replicas.failures.on_failed = self.lifecycle.propagate_failure
        self._assigning = self._channel("directory-assignments", patience=FORWARD_PATIENCE)
        self._assignments = Assignments(
            given.outbox,
            self._assigning,
            self.metadata.state,
            given.address.id,
            self.replicas.directory_id_of,
        )
        self.replicas.mover.assignments = self._assignments
        self._is_serving = False
        self._published = False
        self._creating: dict[str, None] = {}
        self._apis = self._make_apis(raft.cluster_id)
        self._timers = self._make_timers()

    def _channel(self, purpose: str, patience: Micros | None = None) -> ControllerChannel:
        timeout = millis(self.settings["request.timeout.ms"])
        return ControllerChannel(
            self.outbox,
            purpose,
            lambda: self.raft.leader_address,
            self._owners,
            request_timeout=timeout,
            patience=patience,
        )

    def _make_apis(self, cluster_id: str) -> dict[type, Handle]:
        ids = ProducerIds(self._forwarding, self.given.address.id, lambda: self.lifecycle.epoch)
        metadata = MetadataApi(
            self.outbox,
            self.metadata.state,
            self.settings,
            cluster_id,
            self._auto_create,
            lambda: self.metadata.applied,
        )
        configs = (self.outbox, self.metadata.state, self.given.address.id, self._forwarding.send)
        apis: dict[type, Handle] = {
            ProduceRequest: self.produces.handle,
            FetchRequest: self.fetches.handle,
            DeleteRecordsRequest: self.deletions.handle,
            ListOffsetsRequest: ListOffsetsApi(self.outbox, self.replicas).handle,
            MetadataRequest: metadata.handle,
            OffsetForLeaderEpochRequest: OffsetForLeaderEpochApi(self.outbox, self.replicas).handle,
            InitProducerIdRequest: InitProducerIdApi(self.outbox, ids).handle,
            DescribeConfigsRequest: DescribeConfigsApi(
                self.outbox, self.metadata.state, self.given.address.id, self.settings, self._static
            ).handle,
            AlterReplicaLogDirsRequest: AlterReplicaLogDirsApi(self.outbox, self.replicas.mover).handle,
            DescribeLogDirsRequest: DescribeLogDirsApi(self.outbox, self.replicas).handle,
            DescribeProducersRequest: DescribeProducersApi(self.outbox, self.replicas).handle,
            CreateTopicsRequest: self._forward,
            DeleteTopicsRequest: self._forward,
            CreatePartitionsRequest: self._forward,
            ElectLeadersRequest: self._forward,
            AlterConfigsRequest: LegacyAlterConfigsApi(*configs).handle,
            IncrementalAlterConfigsRequest: AlterConfigsApi(*configs).handle,
            DescribeQuorumRequest: self._forward,
            UpdateFeaturesRequest: self._forward,
            UnregisterBrokerRequest: self._forward,
            AddRaftVoterRequest: self._forward,
            RemoveRaftVoterRequest: self._forward,
            DescribeClusterRequest: DescribeClusterApi(self.outbox, self.metadata.state, cluster_id).handle,
            AlterPartitionReassignmentsRequest: self._forward,
            ListPartitionReassignmentsRequest: self._forward,
            FindCoordinatorRequest: FindCoordinatorApi(
                self.outbox, self.metadata.state, self.groups.partition_of, self._create_offsets_topic
            ).handle,
            **GroupCoordinatorService(self.outbox, self.groups, self.settings).apis,
            **ConsumerGroupService(
                self.outbox, self.groups, self.settings, lambda name: self.metadata.state.features.get(name) or 0
            ).apis,
            **OffsetService(self.outbox, self.groups, self.metadata.state).apis,
        }
        apis[ApiVersionsRequest] = ApiVersionsApi(
            self.outbox,
            list(apis),
            self.metadata.state,
            lambda: self.metadata.applied,
            lambda: self.raft.kraft_version,
        ).handle
        return apis

    def _make_timers(self) -> dict[TimerKey, Callable[[Micros], None]]:
        return {
            LIFECYCLE_TIMER: self.lifecycle.on_timer,
            PATIENCE_TIMER: self.lifecycle.on_patience_over,
            FAILURE_TIMER: self.lifecycle.on_failure_untold,
            POLL: lambda now: self.raft.on_timer(now, POLL),
            ALTER_PARTITION_TIMER: self.isr_changes.on_timer,
            fetch.TIMER: self.fetches.on_timer,
            produce.TIMER: self.produces.on_timer,
            delete_records.TIMER: self.deletions.on_timer,
            ISR_TIMER: self.replicas.on_isr_timer,
            HIGH_WATERMARK_TIMER: self.replicas.on_high_watermark_timer,
            RETENTION_TIMER: self.replicas.on_retention_timer,
            CHECKPOINT_TIMER: self.replicas.on_checkpoint_timer,
            CLEANER_TIMER: self.replicas.on_cleaner_timer,
            FLUSH_TIMER: self.replicas.on_flush_timer,
            MOVER_TIMER: self.replicas.mover.on_timer,
            ("channel", "heartbeat"): self._heartbeats.on_timer,
            ("channel", "alter-partition"): self._isr_channel.on_timer,
            ("channel", "forwarding"): self._forwarding.on_timer,
            ("channel", "directory-assignments"): self._assigning.on_timer,
            ASSIGNMENTS_TIMER: self._assignments.on_timer,
        }

    # --------------------------------------------------------------------------- inputs

    def on_start(self, now: Micros) -> None:
        self.logs.begin()
        self.raft.start(now)
        self.lifecycle.start(now)

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        owner = self._owners.get(connection)
        if owner is not None:
            owner.on_response(now, connection, header, body)
        else:
            self._requests.receive(now, connection, header, body)
        self.unmute(now)

    def _handle(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> bool:
        if not self._is_serving:
            self.outbox.close(connection)
            return False
        self._apis[type(body)](now, connection, header, body)
        return not (isinstance(body, ProduceRequest) and body.acks == 0)

    def unmute(self, now: Micros) -> None:
        """The end of an input: what failed is taken out, and requests that waited behind what was answered go on."""
        self.replicas.failures.handle(now)
        self._requests.unmute(now)
        self.replicas.failures.handle(now)

    def _complete_fetches(self, now: Micros) -> None:
        self.groups.settle(now)
        self.fetches.complete_woken(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        owner = self._owners.pop(connection, None)
        if owner is not None:
            owner.on_disconnect(now, connection)
        else:
            self._requests.forget(connection)
            self.fetches.on_disconnect(connection)
        self.unmute(now)

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        handler = self._timers.get(key)
        if handler is not None:
            handler(now)
        elif key[0] in COORDINATOR_TIMERS:
            self.groups.on_timer(now, key)
        else:
            fetcher = self.replicas.fetchers.get(int(key[1]))
            if fetcher is not None:
                (fetcher.on_timeout if key[0] == "fetcher" else fetcher.on_retry_timer)(now)
        self.unmute(now)

    def on_flushed(self, now: Micros, key: FlushKey) -> None:
        if key[0] == "raft":
            self.raft.on_flushed(now, key)
        elif key[0] == "cleaned":
            self.replicas.on_cleaned(now, str(key[1]), int(key[2]))
        elif key[0] == "rolled":
            for partition in self.replicas.by_key.values():
                if partition.name == key[1]:
                    partition.log.on_flushed(int(key[2]))
        elif key[0] == "closed":
            self.on_closed(now)
        self.unmute(now)

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        assert isinstance(request, Terminate), f"a broker is not asked {request}"
        self.outbox.answer_call(call, None)
        self.replicas.in_controlled_shutdown = True
        self.lifecycle.begin_controlled_shutdown(now)

    def on_cancel(self, now: Micros, call: CallId) -> None: ...

    # ------------------------------------------------------------------------ life and death

    def _on_publish(self, now: Micros) -> None:
        """The metadata has gone a step forward."""
        state = self.metadata.state
        touched, state.touched = state.touched or {}, {}
        configs, state.touched_configs = state.touched_configs, {}
        first, self._published = not self._published, True
        if first:
            self.replicas.start(now)
        self.replicas.configs_changed(configs)
        self.isr_changes.broker_epoch = self.lifecycle.epoch
        self.replicas.apply(now, touched)
        self._elections.on_published(now, touched, first=first)
        self._assignments.on_published(now, touched)

    def _on_state(self, now: Micros, state: BrokerLifecycleState) -> None:
        self.isr_changes.broker_epoch = self.lifecycle.epoch
        if state is BrokerLifecycleState.RECOVERY:
            self.lifecycle.set_ready_to_unfence(now)
        elif state is BrokerLifecycleState.RUNNING:
            self._is_serving = True
        elif state is BrokerLifecycleState.SHUTTING_DOWN:
            self._is_serving = False
            for fetcher in self.replicas.fetchers.values():
                fetcher.close()
            self.logs.close(self.lifecycle.epoch)

    # ----------------------------------------------------------------------------- forwarding

    def _forward(self, now: Micros, connection: ConnectionId, header: Header, request: Any) -> None:
        """The controller decides; its answer is the client's."""

        def answer(_: Micros, response: Any) -> None:
            if response is None:
                self.outbox.close(connection)
            else:
                self.outbox.reply(connection, header, response)

        self._forwarding.send(now, request, answer)

    def _auto_create(self, now: Micros, topic: str) -> None:
        if topic == OFFSETS_TOPIC:
            self._create_offsets_topic(now, topic)
        else:
            self._create(now, CreatableTopic(name=topic, num_partitions=-1, replication_factor=-1))

    def _create_offsets_topic(self, now: Micros, topic: str) -> None:
        configs = {"cleanup.policy": "compact", "compression.type": "producer"}
        configs["segment.bytes"] = str(self.settings["offsets.topic.segment.bytes"])
        asked = CreatableTopic(
            name=topic,
            num_partitions=self.settings["offsets.topic.num.partitions"],
            replication_factor=self.settings["offsets.topic.replication.factor"],
            configs=tuple(CreatableTopicConfig(name=name, value=value) for name, value in configs.items()),
        )
        self._create(now, asked)

    def _create(self, now: Micros, asked: CreatableTopic) -> None:
        topic = asked.name
        if topic in self._creating:
            return
        self._creating[topic] = None
        request = CreateTopicsRequest(topics=(asked,), timeout_ms=self.settings["request.timeout.ms"])
        self._forwarding.send(now, request, lambda _, __: self._creating.pop(topic, None))
