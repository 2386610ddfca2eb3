"""Tells the controller in which directory a replica is (Kafka: ``AssignmentsManager``, KIP-858).

Needed where the metadata names another one: after a disk was wiped the directory is a new one. Until the controller
knows, the broker cannot be elected for that partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kafsim.controller.controller_channel import ControllerChannel
from kafsim.controller.metadata_state import MetadataState, PartitionKey
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.assign_replicas_to_dirs import (
    AssignReplicasToDirsRequest,
    AssignReplicasToDirsResponse,
    DirectoryData,
    PartitionData,
    TopicData,
)
from kafsim.protocol.types import Micros, millis
from kafsim.protocol.uuid import Uuid

TIMER = "assignments"
PAUSE = millis(100)
BACKOFF_FIRST, BACKOFF_MOST = millis(100), millis(10_000)
MOST_AT_ONCE = 2_250


class Assignments:
    """``directory``: the only one of this broker; ``epoch``: the broker epoch that the metadata has."""

    def __init__(
        self,
        outbox: Outbox,
        channel: ControllerChannel,
        metadata: MetadataState,
        id_: int,
        directory: Uuid,
        has_log: Callable[[PartitionKey], bool],
    ) -> None:
        self._outbox = outbox
        self._channel = channel
        self._metadata = metadata
        self._id = id_
        self._directory = directory
        self._has_log = has_log
        self._ready: dict[PartitionKey, None] = {}
        self._in_flight: dict[PartitionKey, None] = {}
        self._failures = 0
        self._is_armed = False

    def on_published(self, now: Micros, keys: Iterable[PartitionKey]) -> None:
        """These partitions changed in the metadata."""
        for key in keys:
            if self._is_elsewhere(key) and self._has_log(key):
                self._ready[key] = None
        self._arm(now)

    def _is_elsewhere(self, key: PartitionKey) -> bool:
        """Does the metadata name another directory for the replica here?"""
        state = self._metadata.partitions.get(key)
        if state is None or self._id not in state.replicas or len(state.directories) != len(state.replicas):
            return False
        return state.directories[state.replicas.index(self._id)] != self._directory

    def _arm(self, now: Micros) -> None:
        if self._ready and not self._is_armed:
            self._is_armed = True
            pause = min(BACKOFF_FIRST << self._failures, BACKOFF_MOST) if self._failures else PAUSE
            self._outbox.set_timer(TIMER, Micros(now + pause))

    def on_timer(self, now: Micros) -> None:
        self._is_armed = False
        if self._in_flight:
            return
        keys = [key for key in self._ready if self._is_elsewhere(key)][:MOST_AT_ONCE]
        self._ready = {key: None for key in self._ready if key not in keys and self._is_elsewhere(key)}
        if keys:
            self._in_flight = dict.fromkeys(keys)
            self._channel.send(now, self._request(keys), self._on_answer)

    def _request(self, keys: list[PartitionKey]) -> AssignReplicasToDirsRequest:
        topics: dict[Uuid, list[PartitionData]] = {}
        for topic_id, index in keys:
            topics.setdefault(topic_id, []).append(PartitionData(partition_index=index))
        broker = self._metadata.brokers.get(self._id)
        return AssignReplicasToDirsRequest(
            broker_id=self._id,
            broker_epoch=-1 if broker is None else broker.epoch,
            directories=(
                DirectoryData(
                    id=self._directory,
                    topics=tuple(TopicData(topic_id=id_, partitions=tuple(p)) for id_, p in topics.items()),
                ),
            ),
        )

    def _on_answer(self, now: Micros, response: AssignReplicasToDirsResponse | None) -> None:
        asked, self._in_flight = self._in_flight, {}
        if response is None or response.error_code:
            self._failures += 1
            failed = list(asked)
        else:
            self._failures = 0
            answered = {
                (topic.topic_id, partition.partition_index): partition.error_code
                for directory in response.directories
                for topic in directory.topics
                for partition in topic.partitions
            }
            failed = [key for key in asked if answered.get(key, errors.UNKNOWN_SERVER_ERROR)]
        for key in failed:
            self._ready.setdefault(key, None)
        self._arm(now)
