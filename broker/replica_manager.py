"""The replicas of a broker (Kafka: ``ReplicaManager``): what the metadata makes of them, and what they do in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kafsim.broker.alter_partition import AlterPartitionSender
from kafsim.broker.directory_failures import DirectoryFailures
from kafsim.broker.log_dir_mover import LogDirMover
from kafsim.broker.partition import Partition
from kafsim.broker.replica_fetcher import ReplicaFetcher
from kafsim.broker.replica_progress import ReplicaProgress
from kafsim.broker.replication_quota import ReplicationQuotas
from kafsim.controller.metadata_state import (
    BROKER,
    NO_LEADER,
    TOPIC,
    UNASSIGNED,
    MetadataState,
    PartitionKey,
    PartitionState,
)
from kafsim.protocol import errors
from kafsim.protocol.facts.broker import ReplicaDeleted
from kafsim.protocol.files import DiskError
from kafsim.protocol.messages.fetch import LeaderIdAndEpoch
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, Micros, TopicPartition, millis
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log import Log
from kafsim.storage.log_cleaner import LogCleaner
from kafsim.storage.log_config import FOREVER, LogConfig
from kafsim.storage.log_manager import LogManager
from kafsim.storage.retention import delete_old_segments
from kafsim.storage.topic_config import log_config

ISR_TIMER, HIGH_WATERMARK_TIMER, RETENTION_TIMER, CHECKPOINT_TIMER = "isr", "high-watermark", "retention", "checkpoint"
CLEANER_TIMER, FLUSH_TIMER = "cleaner", "flush"

Before = PartitionState | None
Make = Callable[[Micros, Partition, PartitionState], None]


class Fetches:
    """What the replicas tell of themselves to whoever waits for records; the fetch API replaces this."""

    def on_opened(self, partition: Partition) -> None: ...
    def mark(self, partition: Partition, *, followers: bool, consumers: bool) -> None: ...


class Deletions:
    """What they tell to whoever waits for a low watermark; the API that deletes records replaces this."""

    def on_low_watermark(self, partition: Partition) -> None: ...


class Groups:
    """What they tell to the coordinators of groups; the broker replaces this."""

    def on_high_watermark(self, partition: Partition) -> None: ...


class ReplicaManager:
    """Partitions by ``(topic id, index)``; fetchers by leader."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        metadata: MetadataState,
        logs: LogManager,
        isr_changes: AlterPartitionSender,
        owners: dict[ConnectionId, Any],
    ) -> None:
        self.id = given.address.id
        self.outbox = given.outbox
        self.safeguards = given.safeguards
        self.lag_max = millis(settings["replica.lag.time.max.ms"])
        self.by_key: dict[PartitionKey, Partition] = {}
        self.fetchers: dict[int, ReplicaFetcher] = {}
        self.fetches = Fetches()
        self.deletions = Deletions()
        self.groups = Groups()
        self.in_controlled_shutdown = False
        self._given = given
        self._settings = settings
        self._metadata = metadata
        self.logs = logs
        self.failures = DirectoryFailures(self)
        self.mover = LogDirMover(
            self, settings["replica.fetch.max.bytes"], millis(settings["replica.fetch.backoff.ms"])
        )
        self.quotas = ReplicationQuotas(self.id)
        self.cleaner = LogCleaner(given.outbox, logs, settings)
        self._isr_changes = isr_changes
        self._owners = owners
        self._configs: dict[str, LogConfig] = {}
        self._lagging: dict[PartitionKey, Partition] = {}
        self._moved: dict[TopicPartition, Log] = {}

    def start(self, now: Micros) -> None:
        """Drop logs that are not of this broker any more; the periodic work begins (Kafka: ``startup``)."""
        for tp, topic_id, directory in list(self.logs.on_disk()):
            state = self._metadata.partitions.get((topic_id, tp.partition))
            if tp.topic != "__cluster_metadata" and (state is None or self.id not in state.replicas):
                directory.delete(tp)
        self.outbox.set_timer(ISR_TIMER, Micros(now + self.lag_max // 2))
        self.outbox.set_timer(HIGH_WATERMARK_TIMER, self._after(now, "replica.high.watermark.checkpoint.interval.ms"))
        self.outbox.set_timer(RETENTION_TIMER, self._after(now, "log.initial.task.delay.ms"))
        self.outbox.set_timer(CHECKPOINT_TIMER, self._after(now, "log.flush.offset.checkpoint.interval.ms"))
        self.outbox.set_timer(CLEANER_TIMER, self._after(now, "log.cleaner.backoff.ms"))
        if self._settings["log.flush.scheduler.interval.ms"] < FOREVER:
            self.outbox.set_timer(FLUSH_TIMER, self._after(now, "log.initial.task.delay.ms"))

    def _after(self, now: Micros, setting: str) -> Micros:
        return Micros(now + millis(self._settings[setting]))

    # ------------------------------------------------------------------------------ lookup

    def partition(self, tp: TopicPartition) -> Partition | int:
        """The partition kept here, or the error for one that is not."""
        topic_id = self._metadata.topic_ids.get(tp.topic)
        if topic_id is None:
            return errors.UNKNOWN_TOPIC_OR_PARTITION
        found = self.by_key.get((topic_id, tp.partition))
        return self.missing_error((topic_id, tp.partition)) if found is None else found

    def missing_error(self, key: PartitionKey) -> int:
        if key in self.failures.offline:
            return errors.KAFKA_STORAGE_ERROR
        if key in self._metadata.partitions:
            return errors.NOT_LEADER_OR_FOLLOWER
        known = key[0] in self._metadata.topic_names
        return errors.UNKNOWN_TOPIC_OR_PARTITION if known else errors.UNKNOWN_TOPIC_ID

    def topic_id(self, name: str) -> Uuid | None:
        return self._metadata.topic_ids.get(name)

    def topic_name(self, topic_id: Uuid) -> str | None:
        return self._metadata.topic_names.get(topic_id)

    def current_leader(self, key: PartitionKey) -> LeaderIdAndEpoch:
        state = self._metadata.partitions.get(key)
        if state is None:
            return LeaderIdAndEpoch()
        return LeaderIdAndEpoch(leader_id=state.leader, leader_epoch=state.leader_epoch)

    def alive_epoch(self, broker: int) -> int | None:
        state = self._metadata.brokers.get(broker)
        return None if state is None or state.fenced else state.epoch

    def is_isr_eligible(self, replica: ReplicaProgress) -> bool:
        """May this replica be in an ISR (Kafka: ``isReplicaIsrEligible``)."""
        if not self.safeguards.check_broker_epochs:
            return True
        state = self._metadata.brokers.get(replica.id)
        if state is None or not state.is_active or replica.broker_epoch is None:
            return False
        return replica.broker_epoch in (-1, state.epoch)

    # ------------------------------------------------------------------------------- delta

    def apply(self, now: Micros, touched: dict[PartitionKey, PartitionState | None]) -> None:
        """What changed in the metadata: first deletions, then leaders, then followers."""
        leaders: list[tuple[PartitionKey, Before, PartitionState]] = []
        followers: list[tuple[PartitionKey, Before, PartitionState]] = []
        for key, before in touched.items():
            after = self._metadata.partitions.get(key)
            if after is None or self.id not in after.replicas:
                if before is not None and self.id in before.replicas:
                    self._delete(now, key)
            elif before is None or before.partition_epoch != after.partition_epoch:
                (leaders if after.leader == self.id else followers).append((key, before, after))
        for key, before, state in leaders:
            self._on_disk(now, key, before, state, self._make_leader)
        for key, before, state in followers:
            self._on_disk(now, key, before, state, self._make_follower)
        for leader, fetcher in list(self.fetchers.items()):
            if fetcher.is_idle:
                fetcher.close()
                del self.fetchers[leader]

    def _delete(self, now: Micros, key: PartitionKey) -> None:
        self.failures.forget(key)
        partition = self.by_key.get(key)
        if partition is None:
            return
        partition.close()
        self.fetches.mark(partition, followers=True, consumers=True)
        try:
            self.let_go(now, partition)
            self.logs.delete(partition.tp)
        except DiskError:
            self.failures.note(self.logs.directory_of(partition.log))
        self.outbox.happened(ReplicaDeleted(log=partition.name))

    def let_go(self, now: Micros, partition: Partition) -> None:
        """A partition is not kept here any more."""
        key = (partition.topic_id, partition.tp.partition)
        self.by_key.pop(key, None)
        self.mover.on_gone(key)
        self._stop_fetching(now, partition)
        self.cleaner.forget(partition.tp)
        self._moved.pop(partition.tp, None)

    def _on_disk(self, now: Micros, key: PartitionKey, before: Before, state: PartitionState, make: Make) -> None:
        """A replica whose log cannot be opened, or written in its new role, is offline."""
        try:
            partition = self._open(now, key, before, state)
            if partition is not None:
                make(now, partition, state)
        except DiskError:
            self.failures.offline[key] = None
            self.failures.probe()

    def _make_leader(self, now: Micros, partition: Partition, state: PartitionState) -> None:
        self._stop_fetching(now, partition)
        epoch = partition.leader_epoch
        partition.make_leader(now, state)
        if partition.leader_epoch != epoch:
            self.fetches.mark(partition, followers=True, consumers=True)

    def _make_follower(self, now: Micros, partition: Partition, state: PartitionState) -> None:
        is_new_epoch = partition.make_follower(now, state)
        if not is_new_epoch:
            return
        self._stop_fetching(now, partition)
        leaving = self.in_controlled_shutdown and (state.leader == NO_LEADER or self.id not in state.isr)
        if not leaving and state.leader != NO_LEADER and state.leader in self._metadata.brokers:
            self._fetcher(state.leader).add(now, partition)
        self.fetches.mark(partition, followers=True, consumers=True)

    def _open(self, now: Micros, key: PartitionKey, before: Before, state: PartitionState) -> Partition | None:
        partition = self.by_key.get(key)
        if partition is None:
            named = self._directory_in(state)
            if not self.failures.may_open(key, before, named, self._directory_in(before)):
                return None
            tp = TopicPartition(self._metadata.topic_names[key[0]], key[1])
            if self.logs.has_several:
                self.mover.recover(tp, named)
            log = self.logs.open(tp, key[0], self.config(tp.topic), self._given.wall_ms(now), named)
            partition = self.by_key[key] = Partition(tp, key[0], log, self)
            self.fetches.on_opened(partition)
            self._adopt(partition)
            if self.logs.has_several:
                self.mover.resume(now, partition)
        return partition

    def _adopt(self, partition: Partition) -> None:
        """What a log tells of itself."""
        key, log = (partition.topic_id, partition.tp.partition), partition.log
        self.cleaner.note(partition.tp, log)
        log.on_start_moved = partial(self._on_start_moved, key)
        log.on_cut = partial(self._on_cut, key, partition.tp, log)

    def replace_log(self, partition: Partition, log: Log) -> None:
        """The replica is in another directory now."""
        partition.log = log
        self._adopt(partition)
        if partition.tp in self._moved:
            self._moved[partition.tp] = log

    def wall_ms(self, now: Micros) -> int:
        return self._given.wall_ms(now)

    def new_id(self) -> Uuid:
        return self._given.entropy.uuid()

    def _directory_in(self, state: PartitionState | None) -> Uuid:
        """Where the metadata has the replica of this broker."""
        named = None if state is None else state.directory_of(self.id)
        return UNASSIGNED if named is None else named

    def directory_id_of(self, key: PartitionKey) -> Uuid | None:
        """The directory that the log of a replica is in, None without a log."""
        partition = self.by_key.get(key)
        return None if partition is None else self.logs.directory_of(partition.log).id

    def _fetcher(self, leader: int) -> ReplicaFetcher:
        fetcher = self.fetchers.get(leader)
        if fetcher is None:
            address = Address(self._given.address.cluster, "broker", leader)
            fetcher = ReplicaFetcher(
                self._given,
                address,
                self._owners,
                self._settings,
                lambda: self._isr_changes.broker_epoch,
                self.quotas.follower,
            )
            self.fetchers[leader] = fetcher
        return fetcher

    def _stop_fetching(self, now: Micros, partition: Partition) -> None:
        for fetcher in self.fetchers.values():
            fetcher.remove(now, partition)

    def config(self, topic: str) -> LogConfig:
        config = self._configs.get(topic)
        if config is None:
            own = self._metadata.config(TOPIC, topic)
            cluster = {**self._metadata.config(BROKER, ""), **self._metadata.config(BROKER, str(self.id))}
            config = self._configs[topic] = log_config(own, cluster, self._settings)
        return config

    def configs_changed(self, touched: dict[tuple[int, str], None]) -> None:
        """Topic settings take effect at once."""
        if not touched:
            return
        self._configs.clear()
        self.quotas.update(self._metadata, touched)
        for partition in self.by_key.values():
            partition.log.config = self.config(partition.tp.topic)
            self.cleaner.note(partition.tp, partition.log)

    # ------------------------------------------------------------------ what partitions tell

    def propose_isr(self, now: Micros, partition: Partition) -> None:
        self._isr_changes.propose(now, partition)

    def on_appended(self, partition: Partition) -> None:
        self.fetches.mark(partition, followers=True, consumers=False)

    def on_high_watermark(self, now: Micros, partition: Partition) -> None:
        self._moved[partition.tp] = partition.log
        self.fetches.mark(partition, followers=False, consumers=True)
        if partition.is_coordinators:
            self.groups.on_high_watermark(partition)

    def on_log_start(self, partition: Partition) -> None:
        """The start of this log moved: followers are told with their next answers."""
        self.fetches.mark(partition, followers=False, consumers=False)
        self.deletions.on_low_watermark(partition)

    def _on_start_moved(self, key: PartitionKey) -> None:
        """By retention, a request or the leader's word."""
        partition = self.by_key.get(key)
        if partition is None:
            return
        if partition.leader is not None:
            self.on_log_start(partition)
        else:
            for fetcher in self.fetchers.values():
                fetcher.note_moved(partition)

    def _on_cut(self, key: PartitionKey, tp: TopicPartition, log: Log) -> None:
        """What the checkpoints say of a log that was cut may be above its end."""
        self._moved[tp] = log
        self.logs.directory_of(log).write_recovery_points()
        self.mover.on_cut(key)

    def on_disk_error(self, partition: Partition) -> None:
        """The disk of a partition cannot be read or written any more."""
        self.failures.note(self.logs.directory_of(partition.log))

    def on_low_watermark(self, partition: Partition) -> None:
        """The log start of a replica moved, or this broker does not lead any more."""
        self.deletions.on_low_watermark(partition)

    def on_lagging(self, partition: Partition, *, lagging: bool) -> None:
        key = (partition.topic_id, partition.tp.partition)
        if lagging:
            self._lagging[key] = partition
        else:
            self._lagging.pop(key, None)

    # -------------------------------------------------------------------------------- timers

    def on_isr_timer(self, now: Micros) -> None:
        """Every half lag time; only partitions with a replica that is behind are looked at."""
        for partition in list(self._lagging.values()):
            partition.maybe_shrink(now)
        self.outbox.set_timer(ISR_TIMER, Micros(now + self.lag_max // 2))

    def on_high_watermark_timer(self, now: Micros) -> None:
        self.write_high_watermarks()
        self.outbox.set_timer(HIGH_WATERMARK_TIMER, self._after(now, "replica.high.watermark.checkpoint.interval.ms"))

    def write_high_watermarks(self) -> None:
        for tp, log in self._moved.items():
            self.logs.put_high_watermark(tp, log)
        self._moved.clear()
        self.failures.on_directories(lambda directory: directory.high_watermarks.write())

    def on_checkpoint_timer(self, now: Micros) -> None:
        self.failures.on_directories(lambda directory: directory.write_bounds())
        self.outbox.set_timer(CHECKPOINT_TIMER, self._after(now, "log.flush.offset.checkpoint.interval.ms"))

    def on_flush_timer(self, now: Micros) -> None:
        """Logs that were not flushed for ``flush.ms``."""
        wall = self._given.wall_ms(now)
        for partition in self.by_key.values():
            log = partition.log
            if wall - log.flushed_ms >= log.config.flush_ms:
                try:
                    log.flush(wall)
                except DiskError:
                    self.on_disk_error(partition)
        self.outbox.set_timer(FLUSH_TIMER, self._after(now, "log.flush.scheduler.interval.ms"))

    def on_retention_timer(self, now: Micros) -> None:
        wall = self._given.wall_ms(now)
        for partition in self.by_key.values():
            if partition.log.producers.entries:
                partition.log.producers.expire(wall, partition.log.config.producer_id_expiration_ms)
            compacts = partition.log.config.compacts
            if not compacts and (len(partition.log.segments) > 1 or partition.log.segments[0].size):
                try:
                    delete_old_segments(partition.log, wall)
                except DiskError:
                    self.on_disk_error(partition)
        self.outbox.set_timer(RETENTION_TIMER, self._after(now, "log.retention.check.interval.ms"))

    def on_cleaner_timer(self, now: Micros) -> None:
        """Compaction, and the retention of compacted logs."""
        self._clean(lambda: self.cleaner.run(self._given.wall_ms(now)))
        self.outbox.set_timer(CLEANER_TIMER, self._after(now, "log.cleaner.backoff.ms"))

    def on_cleaned(self, now: Micros, directory: str, base_offset: int) -> None:
        self._clean(lambda: self.cleaner.on_flushed(directory, base_offset, self._given.wall_ms(now)))

    def _clean(self, act: Callable[[], None]) -> None:
        try:
            act()
        except DiskError:
            self.failures.probe()
