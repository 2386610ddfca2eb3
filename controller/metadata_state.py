"""What the metadata log says: brokers, topics, partitions, configurations, features (Kafka: ``MetadataImage``).

``replay`` is the only writer. The active controller keeps one with an undo journal; every broker keeps one of what is
committed. ``records`` writes the whole state as records: a snapshot, and the test of a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from kafsim.controller.tables import Table, UndoJournal
from kafsim.protocol.features import Range
from kafsim.protocol.metadata.broker_registration_change_record import BrokerRegistrationChangeRecord
from kafsim.protocol.metadata.clear_elr_record import ClearElrRecord
from kafsim.protocol.metadata.config_record import ConfigRecord
from kafsim.protocol.metadata.feature_level_record import FeatureLevelRecord
from kafsim.protocol.metadata.partition_change_record import PartitionChangeRecord
from kafsim.protocol.metadata.partition_record import PartitionRecord
from kafsim.protocol.metadata.producer_ids_record import ProducerIdsRecord
from kafsim.protocol.metadata.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from kafsim.protocol.metadata.register_controller_record import (
    ControllerEndpoint,
    ControllerFeature,
    RegisterControllerRecord,
)
from kafsim.protocol.metadata.remove_topic_record import RemoveTopicRecord
from kafsim.protocol.metadata.topic_record import TopicRecord
from kafsim.protocol.metadata.unregister_broker_record import UnregisterBrokerRecord
from kafsim.protocol.uuid import Uuid

NO_LEADER = -1
NO_LEADER_CHANGE = -2
RECOVERED, RECOVERING = 0, 1
TOPIC, BROKER = 2, 4
"""Types of configuration resources."""
MIGRATING, UNASSIGNED = bytes(16), bytes(15) + b"\1"
"""Ids of no directory: a replica from before directories had ids, and one that its broker has not placed yet."""
ELR_FEATURE = "eligible.leader.replicas.version"

PartitionKey = tuple[Uuid, int]


@attrs.frozen(kw_only=True)
class PartitionState:
    """One partition as the controller has it (Kafka: ``PartitionRegistration``)."""

    replicas: tuple[int, ...]
    directories: tuple[Uuid, ...] = ()
    isr: tuple[int, ...]
    removing: tuple[int, ...] = ()
    adding: tuple[int, ...] = ()
    elr: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()
    leader: int
    recovery: int = RECOVERED
    leader_epoch: int
    partition_epoch: int

    def directory_of(self, broker: int) -> Uuid | None:
        """Where the replica of a broker is; None when it has none, or directories are not told."""
        if broker not in self.replicas or len(self.directories) != len(self.replicas):
            return None
        return self.directories[self.replicas.index(broker)]

    def merge(self, change: PartitionChangeRecord) -> PartitionState:
        """The state after a change: the partition epoch grows always, the leader epoch with any word on the leader."""
        leads = change.leader != NO_LEADER_CHANGE
        return PartitionState(
            replicas=_new(change.replicas, self.replicas),
            directories=_new(change.directories, self.directories),
            isr=_new(change.isr, self.isr),
            removing=_new(change.removing_replicas, self.removing),
            adding=_new(change.adding_replicas, self.adding),
            elr=_new(change.eligible_leader_replicas, self.elr),
            last_known_elr=_new(change.last_known_elr, self.last_known_elr),
            leader=change.leader if leads else self.leader,
            recovery=self.recovery if change.leader_recovery_state < 0 else change.leader_recovery_state,
            leader_epoch=self.leader_epoch + leads,
            partition_epoch=self.partition_epoch + 1,
        )


def _new(changed: tuple[Any, ...] | None, old: tuple[Any, ...]) -> tuple[Any, ...]:
    return old if changed is None else changed


@attrs.frozen(kw_only=True)
class BrokerState:
    """One registered broker."""

    id: int
    incarnation_id: Uuid
    epoch: int
    """The offset of its registration; a later registration has a larger one."""
    rack: str | None
    fenced: bool
    in_controlled_shutdown: bool
    directories: tuple[Uuid, ...]
    features: dict[str, Range] = attrs.field(factory=dict)
    end_points: tuple[BrokerEndpoint, ...] = ()
    registered_at: int = 0
    """The offset of its RegisterBrokerRecord."""

    @property
    def is_active(self) -> bool:
        return not self.fenced and not self.in_controlled_shutdown


@attrs.frozen(kw_only=True)
class ControllerState:
    """One registered controller."""

    id: int
    incarnation_id: Uuid
    end_points: tuple[ControllerEndpoint, ...]
    features: dict[str, Range]


class MetadataState:
    """All tables."""

    def __init__(self) -> None:
        self.journal = UndoJournal()
        self.brokers: Table[int, BrokerState] = Table(self.journal)
        self.controllers: Table[int, ControllerState] = Table(self.journal)
        self.topic_ids: Table[str, Uuid] = Table(self.journal)
        self.topic_names: Table[Uuid, str] = Table(self.journal)
        self.partitions: Table[PartitionKey, PartitionState] = Table(self.journal)
        self.partition_counts: Table[Uuid, int] = Table(self.journal)
        self.configs: Table[tuple[int, str], dict[str, str]] = Table(self.journal)
        self.features: Table[str, int] = Table(self.journal)
        self.next_producer_id: Table[str, int] = Table(self.journal)
        self.touched: dict[PartitionKey, PartitionState | None] | None = None
        """What changed partitions were before, for whoever publishes deltas; None when nobody does."""
        self.touched_configs: dict[tuple[int, str], None] = {}
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            RegisterBrokerRecord: self._register_broker,
            UnregisterBrokerRecord: self._unregister_broker,
            RegisterControllerRecord: self._register_controller,
            BrokerRegistrationChangeRecord: self._change_registration,
            TopicRecord: self._topic,
            PartitionRecord: self._partition,
            PartitionChangeRecord: self._change_partition,
            RemoveTopicRecord: self._remove_topic,
            ConfigRecord: self._config,
            FeatureLevelRecord: self._feature,
            ProducerIdsRecord: self._producer_ids,
            ClearElrRecord: self._clear_elr,
        }

    # ----------------------------------------------------------------------- questions

    @property
    def elr_enabled(self) -> bool:
        return (self.features.get(ELR_FEATURE) or 0) >= 1

    def has_online_directory(self, broker: int, directory: Uuid) -> bool:
        """Is the directory that a replica is in one that its broker has? (Kafka: ``DirectoryId.isOnline``)."""
        state = self.brokers.get(broker)
        online = () if state is None else state.directories
        return directory in (UNASSIGNED, MIGRATING) or not online or directory in online

    def is_online(self, partition: PartitionState, broker: int) -> bool:
        """Has this broker the directory where the metadata has its replica?"""
        directory = partition.directory_of(broker)
        return directory is None or self.has_online_directory(broker, directory)

    def is_active(self, broker: int) -> bool:
        state = self.brokers.get(broker)
        return state is not None and state.is_active

    def config(self, type_: int, name: str) -> dict[str, str]:
        return self.configs.get((type_, name)) or {}

    def partitions_of(self, topic_id: Uuid) -> Iterator[tuple[int, PartitionState]]:
        for index in range(self.partition_counts.get(topic_id) or 0):
            yield index, self.partitions[topic_id, index]

    # -------------------------------------------------------------------------- replay

    def replay(self, record: Any, offset: int) -> None:
        """Apply one record; those that change no table here (no-op, transactions) are passed over."""
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record, offset)

    def _register_broker(self, record: RegisterBrokerRecord, offset: int) -> None:
        self.brokers.put(
            record.broker_id,
            BrokerState(
                id=record.broker_id,
                incarnation_id=record.incarnation_id,
                epoch=record.broker_epoch,
                rack=record.rack,
                fenced=record.fenced,
                in_controlled_shutdown=record.in_controlled_shutdown,
                directories=record.log_dirs,
                features=_ranges(record.features),
                end_points=record.end_points,
                registered_at=offset,
            ),
        )

    def _register_controller(self, record: RegisterControllerRecord, offset: int) -> None:
        self.controllers.put(
            record.controller_id,
            ControllerState(
                id=record.controller_id,
                incarnation_id=record.incarnation_id,
                end_points=record.end_points,
                features=_ranges(record.features),
            ),
        )

    def _unregister_broker(self, record: UnregisterBrokerRecord, offset: int) -> None:
        assert self.brokers[record.broker_id].epoch == record.broker_epoch, "another registration"
        self.brokers.delete(record.broker_id)

    def _change_registration(self, record: BrokerRegistrationChangeRecord, offset: int) -> None:
        broker = self.brokers[record.broker_id]
        assert broker.epoch == record.broker_epoch, f"epoch {broker.epoch} is registered, not {record.broker_epoch}"
        fenced = broker.fenced if not record.fenced else record.fenced > 0
        shutting = broker.in_controlled_shutdown or record.in_controlled_shutdown > 0
        directories = record.log_dirs or broker.directories
        self.brokers.put(
            broker.id,
            attrs.evolve(broker, fenced=fenced, in_controlled_shutdown=shutting, directories=directories),
        )

    def _topic(self, record: TopicRecord, offset: int) -> None:
        self.topic_ids.put(record.name, record.topic_id)
        self.topic_names.put(record.topic_id, record.name)
        self.partition_counts.put(record.topic_id, 0)

    def _partition(self, record: PartitionRecord, offset: int) -> None:
        state = PartitionState(
            replicas=record.replicas,
            directories=record.directories,
            isr=record.isr,
            removing=record.removing_replicas,
            adding=record.adding_replicas,
            elr=record.eligible_leader_replicas or (),
            last_known_elr=record.last_known_elr or (),
            leader=record.leader,
            recovery=record.leader_recovery_state,
            leader_epoch=record.leader_epoch,
            partition_epoch=record.partition_epoch,
        )
        self._put((record.topic_id, record.partition_id), state)
        count = max(self.partition_counts[record.topic_id], record.partition_id + 1)
        self.partition_counts.put(record.topic_id, count)

    def _change_partition(self, record: PartitionChangeRecord, offset: int) -> None:
        key = (record.topic_id, record.partition_id)
        self._put(key, self.partitions[key].merge(record))

    def _put(self, key: PartitionKey, state: PartitionState) -> None:
        self._touch(key)
        self.partitions.put(key, state)

    def _touch(self, key: PartitionKey) -> None:
        if self.touched is not None:
            self.touched.setdefault(key, self.partitions.get(key))

    def _remove_topic(self, record: RemoveTopicRecord, offset: int) -> None:
        name = self.topic_names[record.topic_id]
        for index in range(self.partition_counts[record.topic_id]):
            self._touch((record.topic_id, index))
            self.partitions.delete((record.topic_id, index))
        self.partition_counts.delete(record.topic_id)
        self.topic_names.delete(record.topic_id)
        self.topic_ids.delete(name)
        if (TOPIC, name) in self.configs:
            self.configs.delete((TOPIC, name))
            self.touched_configs[TOPIC, name] = None

    def _config(self, record: ConfigRecord, offset: int) -> None:
        key = (record.resource_type, record.resource_name)
        values = {**self.config(*key)}
        values.pop(record.name, None)
        if record.value is not None:
            values[record.name] = record.value
        if values:
            self.configs.put(key, values)
        elif key in self.configs:
            self.configs.delete(key)
        self.touched_configs[key] = None

    def _feature(self, record: FeatureLevelRecord, offset: int) -> None:
        if record.feature_level:
            self.features.put(record.name, record.feature_level)
        elif record.name in self.features:
            self.features.delete(record.name)

    def _producer_ids(self, record: ProducerIdsRecord, offset: int) -> None:
        self.next_producer_id.put("next", record.next_producer_id)

    def _clear_elr(self, record: ClearElrRecord, offset: int) -> None:
        names = [record.topic_name] if record.topic_name else list(self.topic_ids)
        for name in names:
            topic_id = self.topic_ids.get(name)
            for index, state in self.partitions_of(topic_id) if topic_id is not None else ():
                if state.elr or state.last_known_elr:
                    change = PartitionChangeRecord(
                        partition_id=index, topic_id=topic_id or b"", eligible_leader_replicas=(), last_known_elr=()
                    )
                    self._put((topic_id or b"", index), state.merge(change))

    # ------------------------------------------------------------------------ snapshot

    def load(self, records: Iterable[Any], offset: int) -> None:
        """In place of all that is known, what a snapshot says; ``offset`` is that of the last record it holds."""
        for key in [*self.partitions]:
            self._touch(key)
        for key in [*self.configs]:
            self.touched_configs[key] = None
        for table in self._tables:
            table.clear()
        for record in records:
            self.replay(record, offset)

    @property
    def _tables(self) -> tuple[Table[Any, Any], ...]:
        return (
            self.brokers,
            self.controllers,
            self.topic_ids,
            self.topic_names,
            self.partitions,
            self.partition_counts,
            self.configs,
            self.features,
            self.next_producer_id,
        )

    def records(self) -> Iterator[Any]:
        """The whole state as records, in the order of Kafka's images."""
        for name, level in self.features.items():
            yield FeatureLevelRecord(name=name, feature_level=level)
        for broker in self.brokers.values():
            yield RegisterBrokerRecord(
                broker_id=broker.id,
                incarnation_id=broker.incarnation_id,
                broker_epoch=broker.epoch,
                end_points=broker.end_points,
                rack=broker.rack,
                fenced=broker.fenced,
                in_controlled_shutdown=broker.in_controlled_shutdown,
                log_dirs=broker.directories,
                features=tuple(
                    BrokerFeature(name=n, min_supported_version=r.low, max_supported_version=r.high)
                    for n, r in broker.features.items()
                ),
            )
        for controller in self.controllers.values():
            yield RegisterControllerRecord(
                controller_id=controller.id,
                incarnation_id=controller.incarnation_id,
                end_points=controller.end_points,
                features=tuple(
                    ControllerFeature(name=n, min_supported_version=r.low, max_supported_version=r.high)
                    for n, r in controller.features.items()
                ),
            )
        for topic_id, name in self.topic_names.items():
            yield TopicRecord(name=name, topic_id=topic_id)
            for index, state in self.partitions_of(topic_id):
                yield _partition_record(topic_id, index, state)
        for (type_, name), values in self.configs.items():
            for key, value in values.items():
                yield ConfigRecord(resource_type=type_, resource_name=name, name=key, value=value)
        for following in self.next_producer_id.values():
            yield ProducerIdsRecord(broker_id=-1, broker_epoch=-1, next_producer_id=following)


def _ranges(features: Iterable[BrokerFeature | ControllerFeature]) -> dict[str, Range]:
    return {f.name: Range(f.min_supported_version, f.max_supported_version) for f in features}


def _partition_record(topic_id: Uuid, index: int, state: PartitionState) -> PartitionRecord:
    return PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=state.replicas,
        isr=state.isr,
        removing_replicas=state.removing,
        adding_replicas=state.adding,
        leader=state.leader,
        leader_recovery_state=state.recovery,
        leader_epoch=state.leader_epoch,
        partition_epoch=state.partition_epoch,
        directories=state.directories,
        eligible_leader_replicas=state.elr or None,
        last_known_elr=state.last_known_elr or None,
    )
