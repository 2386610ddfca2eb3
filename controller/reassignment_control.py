"""Decides about reassignments of partitions (Kafka: ``ReplicationControlManager``, KIP-455, KIP-860).

A reassignment adds the new replicas in front of those that go, waits until all that are added are in sync, and then
drops the others; the last step is made by whatever change finds it possible (:class:`PartitionChangeBuilder`).
"""

from __future__ import annotations

from typing import Any

from kafsim.controller.metadata_state import MetadataState, PartitionKey, PartitionState
from kafsim.controller.partition_change import Election, PartitionChangeBuilder
from kafsim.controller.replication_control import ReplicationControl
from kafsim.controller.topic_control import TopicControl, TopicError
from kafsim.protocol import errors
from kafsim.protocol.facts import controller as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from kafsim.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)


class ReassignmentControl:
    def __init__(self, state: MetadataState, replication: ReplicationControl, topics: TopicControl) -> None:
        self.state = state
        self.replication = replication
        self.topics = topics

    def alter(self, request: AlterPartitionReassignmentsRequest) -> tuple[list[Any], Any]:
        """Replicas of None cancel."""
        records: list[Any] = []
        responses = []
        for topic in request.topics:
            allow = request.allow_replication_factor_change
            answers = tuple(self._answer(topic.name, asked, records, allow=allow) for asked in topic.partitions)
            responses.append(ReassignableTopicResponse(name=topic.name, partitions=answers))
        response = AlterPartitionReassignmentsResponse(
            allow_replication_factor_change=request.allow_replication_factor_change,
            error_message=None,
            responses=tuple(responses),
        )
        return records, response

    def _answer(
        self, topic: str, asked: ReassignablePartition, records: list[Any], *, allow: bool
    ) -> ReassignablePartitionResponse:
        code, message = errors.NONE, None
        try:
            records += self._alter_one(topic, asked, allow=allow)
        except TopicError as error:
            code, message = error.code, error.message
        return ReassignablePartitionResponse(
            partition_index=asked.partition_index, error_code=code, error_message=message
        )

    def _alter_one(self, topic: str, asked: ReassignablePartition, *, allow: bool) -> list[Any]:
        topic_id = self.state.topic_ids.get(topic)
        if topic_id is None:
            raise TopicError(errors.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {topic}.")
        key = (topic_id, asked.partition_index)
        partition = self.state.partitions.get(key)
        if partition is None:
            text = f"Unable to find partition {topic}:{asked.partition_index}."
            raise TopicError(errors.UNKNOWN_TOPIC_OR_PARTITION, text)
        builder = self.replication.builder(key)
        if asked.replicas is None:
            self._cancel(builder, topic, asked.partition_index)
        else:
            self._begin(builder, asked.replicas, allow=allow)
        return self._build(key, builder)

    def _cancel(self, builder: PartitionChangeBuilder, topic: str, index: int) -> None:
        now = builder.partition
        if not is_in_progress(now):
            raise TopicError(errors.NO_REASSIGNMENT_IN_PROGRESS, None)
        replicas, isr, unclean = revert(now)
        if unclean and builder.election is not Election.UNCLEAN:
            text = (
                f"Unable to revert partition assignment for {topic}:{index} because it would require an unclean "
                "leader election."
            )
            raise TopicError(errors.INVALID_REPLICA_ASSIGNMENT, text)
        builder.target_replicas, builder.target_isr = replicas, isr
        builder.target_removing, builder.target_adding = (), ()

    def _begin(self, builder: PartitionChangeBuilder, target: tuple[int, ...], *, allow: bool) -> None:
        now = builder.partition
        self.topics.check_assignment(target)
        factor = len({*now.replicas, *now.adding} - {*now.removing})
        if not allow and factor != len(target):
            text = f"The replication factor is changed from {factor} to {len(target)}"
            raise TopicError(errors.INVALID_REPLICATION_FACTOR, text)
        removing = tuple(sorted(set(now.replicas) - set(target)))
        adding = tuple(sorted(set(target) - set(now.replicas)))
        builder.target_replicas = (*target, *removing)
        builder.target_removing = removing or None
        builder.target_adding = adding or None
        builder.election = Election.ONLINE

    def _build(self, key: PartitionKey, builder: PartitionChangeBuilder) -> list[Any]:
        change = builder.build()
        if change is None:
            return []
        return [self.replication.decide(key, change, because(facts.REASSIGNED))]

    # ------------------------------------------------------------------------------ list

    def list(self, request: ListPartitionReassignmentsRequest) -> tuple[list[Any], Any]:
        """Those that go on, of the topics asked for or of all."""
        asked = None if request.topics is None else {topic.name: topic.partition_indexes for topic in request.topics}
        names = list(self.state.topic_ids) if asked is None else list(asked)
        topics = []
        for name in names:
            topic_id = self.state.topic_ids.get(name)
            if topic_id is None:
                continue
            going_on = tuple(
                _ongoing(index, state)
                for index, state in self.state.partitions_of(topic_id)
                if is_in_progress(state) and (asked is None or index in asked[name])
            )
            if going_on:
                topics.append(OngoingTopicReassignment(name=name, partitions=going_on))
        return [], ListPartitionReassignmentsResponse(error_message=None, topics=tuple(topics))


def is_in_progress(partition: PartitionState) -> bool:
    return bool(partition.adding or partition.removing)


def revert(now: PartitionState) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Replicas and ISR without what was to be added; whether that leaves nobody in sync.

    Kafka: ``PartitionReassignmentRevert``.
    """
    replicas = tuple(replica for replica in now.replicas if replica not in now.adding)
    isr = tuple(replica for replica in now.isr if replica not in now.adding)
    return replicas, isr or replicas[:1], not isr


def _ongoing(index: int, state: PartitionState) -> OngoingPartitionReassignment:
    return OngoingPartitionReassignment(
        partition_index=index,
        replicas=state.replicas,
        adding_replicas=state.adding,
        removing_replicas=state.removing,
    )
