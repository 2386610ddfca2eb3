"""Tells the controller in which directory a replica is (Kafka: ``AssignmentsManager``, KIP-858).

Needed where the metadata names another one: after a disk was wiped the directory is a new one. Until the controller
knows, the broker cannot be elected for that partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

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


class Wanted(NamedTuple):
    """A directory, and who is to know when the controller has it."""

    directory: Uuid
    on_taken: Callable[[Micros], None] | None = None


class Assignments:
    """``directory_of``: where the log of a replica is, None when there is none."""

    def __init__(
        self,
        outbox: Outbox,
        channel: ControllerChannel,
        metadata: MetadataState,
        id_: int,
        directory_of: Callable[[PartitionKey], Uuid | None],
    ) -> None:
        self._outbox = outbox
        self._channel = channel
        self._metadata = metadata
        self._id = id_
        self._directory_of = directory_of
        self._ready: dict[PartitionKey, Wanted] = {}
        self._in_flight: dict[PartitionKey, Wanted] = {}
        self._failures = 0
        self._is_armed = False

    def on_published(self, now: Micros, keys: Iterable[PartitionKey]) -> None:
        """These partitions changed in the metadata."""
        for key in keys:
            directory = self._directory_of(key)
            if directory is not None and self._named(key) not in (None, directory):
                self._ready[key] = Wanted(directory)
        self._arm(now)

    def ask(self, now: Micros, key: PartitionKey, directory: Uuid, on_taken: Callable[[Micros], None] | None) -> None:
        """Ask for another directory than the log is in now; ``on_taken`` once the controller has taken it."""
        self._ready[key] = Wanted(directory, on_taken)
        self._arm(now)

    def _named(self, key: PartitionKey) -> Uuid | None:
        """The directory in the metadata of the replica here; None when there is none."""
        state = self._metadata.partitions.get(key)
        return None if state is None else state.directory_of(self._id)

    def _arm(self, now: Micros) -> None:
        if self._ready and not self._is_armed:
            self._is_armed = True
            pause = min(BACKOFF_FIRST << self._failures, BACKOFF_MOST) if self._failures else PAUSE
            self._outbox.set_timer(TIMER, Micros(now + pause))

    def on_timer(self, now: Micros) -> None:
        self._is_armed = False
        if self._in_flight:
            return
        valid = [(key, wanted) for key, wanted in self._ready.items() if self._is_needed(key, wanted)]
        self._in_flight, self._ready = dict(valid[:MOST_AT_ONCE]), dict(valid[MOST_AT_ONCE:])
        if self._in_flight:
            self._channel.send(now, self._request(), self._on_answer)

    def _is_needed(self, key: PartitionKey, wanted: Wanted) -> bool:
        """A log that has moved on since makes what its directory was of no interest."""
        moved_on = wanted.on_taken is None and self._directory_of(key) != wanted.directory
        return not moved_on and self._named(key) not in (None, wanted.directory)

    def _request(self) -> AssignReplicasToDirsRequest:
        directories: dict[Uuid, dict[Uuid, list[PartitionData]]] = {}
        for (topic_id, index), wanted in self._in_flight.items():
            topics = directories.setdefault(wanted.directory, {})
            topics.setdefault(topic_id, []).append(PartitionData(partition_index=index))
        broker = self._metadata.brokers.get(self._id)
        return AssignReplicasToDirsRequest(
            broker_id=self._id,
            broker_epoch=-1 if broker is None else broker.epoch,
            directories=tuple(
                DirectoryData(
                    id=directory,
                    topics=tuple(TopicData(topic_id=id_, partitions=tuple(p)) for id_, p in topics.items()),
                )
                for directory, topics in directories.items()
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
        for key, wanted in asked.items():
            if key in failed:
                self._ready.setdefault(key, wanted)
            elif wanted.on_taken is not None:
                wanted.on_taken(now)
        self._arm(now)
