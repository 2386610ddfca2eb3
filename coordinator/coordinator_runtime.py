"""The coordinators of a broker, one for each partition of ``__consumer_offsets`` that it leads.

Kafka: ``CoordinatorRuntime``, ``GroupCoordinatorService``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kafsim.coordinator.coordinator import Coordinator
from kafsim.coordinator.shard import GroupShard, PartitionLog
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.java import coordinator_partition
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, TimerKey, TopicPartition
from kafsim.protocol.uuid import Uuid

TOPIC = "__consumer_offsets"
LOAD, WRITES, KEYED = "coordinator-load", "coordinator-writes", "coordinator"
TIMERS = frozenset({LOAD, WRITES, KEYED})
LOADING = Micros(1_000)
"""How long it takes to read the log of a partition."""


class HasNumber(Protocol):
    @property
    def tp(self) -> TopicPartition: ...


class CoordinatorRuntime:
    """``open_log`` gives the log of a partition that this broker leads, ``topics`` are those that the broker knows."""

    def __init__(
        self,
        given: Surroundings,
        settings: dict[str, Any],
        open_log: Callable[[int], PartitionLog],
        topics: Topics,
    ) -> None:
        self.coordinators: dict[int, Coordinator] = {}
        self._given = given
        self._settings = settings
        self._open_log = open_log
        self.topics = topics
        self._partitions: int = settings["offsets.topic.num.partitions"]
        self._advanced: dict[int, None] = {}
        """Partitions whose high watermark has moved."""

    def start(self, partitions: int | None) -> None:
        """The number of partitions, if the topic is there already; it is not looked at again, as in Kafka."""
        self._partitions = partitions or self._partitions

    def partition_of(self, group: str) -> int:
        return coordinator_partition(group, self._partitions)

    def find(self, group: str) -> tuple[Coordinator | None, int]:
        """The coordinator of a group, or the error of one that is not here or not ready."""
        found = self.coordinators.get(self.partition_of(group))
        if found is None or found.shard.is_failed:
            return None, errors.NOT_COORDINATOR
        return (found, errors.NONE) if found.shard.is_active else (None, errors.COORDINATOR_LOAD_IN_PROGRESS)

    # ---------------------------------------------------------------------------- elections

    def on_election(self, now: Micros, index: int, leader_epoch: int) -> None:
        """This broker leads the partition; a coordinator that failed to load tries again in a new epoch."""
        known = self.coordinators.get(index)
        if known is not None and (known.shard.leader_epoch >= leader_epoch or not known.shard.is_failed):
            known.shard.leader_epoch = max(known.shard.leader_epoch, leader_epoch)
            return
        shard = GroupShard(self._given, self._settings, index, self._open_log(index), leader_epoch)
        self.coordinators[index] = Coordinator(shard, self.topics)
        why = because(facts.ELECTED, leader_epoch=leader_epoch)
        self._given.outbox.happened(facts.CoordinatorLoading(partition=index, leader_epoch=leader_epoch, because=why))
        self._given.outbox.set_timer((LOAD, index), Micros(now + LOADING))

    def on_resignation(self, now: Micros, index: int, leader_epoch: int | None) -> None:
        """Another broker leads it, from this epoch on; None when the partition is gone."""
        known = self.coordinators.get(index)
        if known is not None and (leader_epoch is None or known.shard.leader_epoch < leader_epoch):
            del self.coordinators[index]
            self._given.outbox.cancel_timer((LOAD, index))
            known.shard.close(now)

    def on_topics_deleted(self, now: Micros, topics: dict[Uuid, str]) -> None:
        for coordinator in list(self.coordinators.values()):
            if coordinator.shard.is_active:
                coordinator.offsets.on_topics_deleted(now, topics)

    # ------------------------------------------------------------------------------- inputs

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        coordinator = self.coordinators.get(int(key[1]))
        if coordinator is None:
            return
        if key[0] == LOAD:
            coordinator.shard.load(now)
            if coordinator.shard.is_active:
                coordinator.offsets.begin(now)
        elif key[0] == WRITES:
            coordinator.shard.on_overdue(now)
        else:
            coordinator.shard.timers.on_timer(now)

    def on_high_watermark(self, partition: HasNumber) -> None:
        if partition.tp.partition in self.coordinators:
            self._advanced[partition.tp.partition] = None

    def settle(self, now: Micros) -> None:
        """Answer what is committed by now."""
        while self._advanced:
            index = next(iter(self._advanced))
            del self._advanced[index]
            coordinator = self.coordinators.get(index)
            if coordinator is not None and coordinator.shard.is_active:
                coordinator.shard.on_high_watermark(now)
