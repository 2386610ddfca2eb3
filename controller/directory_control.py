"""Decides about the directories that replicas are in (Kafka: ``handleAssignReplicasToDirs``, KIP-858)."""

from __future__ import annotations

from typing import Any

from kafsim.controller.metadata_state import MetadataState, PartitionKey
from kafsim.controller.partition_change import Election
from kafsim.controller.replication_control import ReplicationControl
from kafsim.protocol import errors
from kafsim.protocol.facts import controller as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.assign_replicas_to_dirs import (
    AssignReplicasToDirsRequest,
    AssignReplicasToDirsResponse,
)
from kafsim.protocol.messages.assign_replicas_to_dirs import DirectoryDataResult as AssignedDirectory
from kafsim.protocol.messages.assign_replicas_to_dirs import PartitionDataResult as AssignedPartition
from kafsim.protocol.messages.assign_replicas_to_dirs import TopicDataResult as AssignedTopic
from kafsim.protocol.uuid import Uuid


class DirectoryControl:
    def __init__(self, state: MetadataState, replication: ReplicationControl) -> None:
        self._state = state
        self._replication = replication

    def assign(
        self, request: AssignReplicasToDirsRequest, stale: int
    ) -> tuple[list[Any], AssignReplicasToDirsResponse]:
        """A broker tells where its replicas are (KIP-858). One whose directory is not online leaves the ISR."""
        if stale:
            return [], AssignReplicasToDirsResponse(error_code=stale)
        records: list[Any] = []
        offline: list[PartitionKey] = []
        directories = []
        for directory in request.directories:
            topics = []
            for topic in directory.topics:
                answers = []
                for asked in topic.partitions:
                    key = (topic.topic_id, asked.partition_index)
                    error = self._not_assignable(key, request.broker_id)
                    answers.append(AssignedPartition(partition_index=key[1], error_code=error))
                    if not error:
                        records += self._assign_directory(key, request.broker_id, directory.id)
                        if not self._state.has_online_directory(request.broker_id, directory.id):
                            offline.append(key)
                topics.append(AssignedTopic(topic_id=topic.topic_id, partitions=tuple(answers)))
            directories.append(AssignedDirectory(id=directory.id, topics=tuple(topics)))
        why = because(facts.FENCED_BROKER, broker=request.broker_id)
        records += self._replication.update_leaders_and_isrs(
            why, keys=offline, remove=request.broker_id, leaving="without its disk"
        )
        return records, AssignReplicasToDirsResponse(directories=tuple(directories))

    def _not_assignable(self, key: PartitionKey, broker: int) -> int:
        if key[0] not in self._state.topic_names:
            return errors.UNKNOWN_TOPIC_ID
        partition = self._state.partitions.get(key)
        if partition is None:
            return errors.UNKNOWN_TOPIC_OR_PARTITION
        return errors.NONE if broker in partition.replicas else errors.NOT_LEADER_OR_FOLLOWER

    def _assign_directory(self, key: PartitionKey, broker: int, directory: Uuid) -> list[Any]:
        builder = self._replication.builder(key)
        builder.election = Election.ONLINE
        builder.set_directories = {broker: directory}
        change = builder.build()
        return (
            [] if change is None else [self._replication.decide(key, change, because(facts.DIRECTORY, broker=broker))]
        )
