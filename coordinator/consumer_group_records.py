"""The records of groups of the consumer protocol (Kafka: ``GroupCoordinatorRecordHelpers``)."""

from __future__ import annotations

from collections.abc import Iterable

from kafsim.coordinator.consumer_group import (
    ConsumerGroup,
    ConsumerGroupMember,
    MemberState,
    Owned,
    ResolvedRegex,
    Target,
)
from kafsim.coordinator.records import CoordinatorRecord
from kafsim.protocol.group_records import consumer_group_target_assignment_member as target_member
from kafsim.protocol.group_records.consumer_group_current_member_assignment import (
    ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue,
    TopicPartitions,
)
from kafsim.protocol.group_records.consumer_group_member_metadata import (
    ClassicMemberMetadata,
    ClassicProtocol,
    ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue,
)
from kafsim.protocol.group_records.consumer_group_metadata import ConsumerGroupMetadataKey, ConsumerGroupMetadataValue
from kafsim.protocol.group_records.consumer_group_partition_metadata import ConsumerGroupPartitionMetadataKey
from kafsim.protocol.group_records.consumer_group_regular_expression import (
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
)
from kafsim.protocol.group_records.consumer_group_target_assignment_metadata import (
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)
from kafsim.protocol.java import hash_order, uuid_order


def member_record(group: str, member: ConsumerGroupMember) -> CoordinatorRecord:
    classic = member.classic and ClassicMemberMetadata(
        session_timeout_ms=member.classic.session_ms,
        supported_protocols=tuple(ClassicProtocol(name=n, metadata=m) for n, m in member.classic.protocols),
    )
    value = ConsumerGroupMemberMetadataValue(
        instance_id=member.instance,
        rack_id=member.rack,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=member.topics,
        subscribed_topic_regex=member.regex,
        rebalance_timeout_ms=member.rebalance_ms,
        server_assignor=member.assignor,
        classic_member_metadata=classic,
    )
    return CoordinatorRecord(ConsumerGroupMemberMetadataKey(group_id=group, member_id=member.id), value)


def epoch_record(group: str, epoch: int, metadata_hash: int) -> CoordinatorRecord:
    value = ConsumerGroupMetadataValue(epoch=epoch, metadata_hash=metadata_hash)
    return CoordinatorRecord(ConsumerGroupMetadataKey(group_id=group), value)


def target_record(group: str, member: str, target: Target) -> CoordinatorRecord:
    topics = tuple(
        target_member.TopicPartition(topic_id=topic, partitions=tuple(hash_order(target[topic])))
        for topic in uuid_order(target)
    )
    value = target_member.ConsumerGroupTargetAssignmentMemberValue(topic_partitions=topics)
    key = target_member.ConsumerGroupTargetAssignmentMemberKey(group_id=group, member_id=member)
    return CoordinatorRecord(key, value)


def target_epoch_record(group: str, epoch: int, timestamp: int) -> CoordinatorRecord:
    value = ConsumerGroupTargetAssignmentMetadataValue(assignment_epoch=epoch, assignment_timestamp=timestamp)
    return CoordinatorRecord(ConsumerGroupTargetAssignmentMetadataKey(group_id=group), value)


def current_record(group: str, member: ConsumerGroupMember) -> CoordinatorRecord:
    value = ConsumerGroupCurrentMemberAssignmentValue(
        member_epoch=member.epoch,
        previous_member_epoch=member.previous_epoch,
        state=(MemberState.STABLE if member.state is MemberState.UNKNOWN else member.state).value,
        assigned_partitions=_topic_partitions(member.assigned),
        partitions_pending_revocation=_topic_partitions(member.pending),
    )
    return CoordinatorRecord(ConsumerGroupCurrentMemberAssignmentKey(group_id=group, member_id=member.id), value)


def _topic_partitions(owned: Owned) -> tuple[TopicPartitions, ...]:
    found = []
    for topic in uuid_order(owned):
        order = hash_order(owned[topic])
        epochs = tuple(owned[topic][p] for p in order)
        found.append(TopicPartitions(topic_id=topic, partitions=tuple(order), assignment_epochs=epochs))
    return tuple(found)


def regex_record(group: str, regex: str, found: ResolvedRegex) -> CoordinatorRecord:
    value = ConsumerGroupRegularExpressionValue(topics=found.topics, version=found.version, timestamp=found.timestamp)
    return CoordinatorRecord(_regex_key(group, regex), value)


def _regex_key(group: str, regex: str) -> ConsumerGroupRegularExpressionKey:
    return ConsumerGroupRegularExpressionKey(group_id=group, regular_expression=regex)


def regex_tombstone(group: str, regex: str) -> CoordinatorRecord:
    return CoordinatorRecord(_regex_key(group, regex), None)


def legacy_tombstone(group: str) -> CoordinatorRecord:
    return CoordinatorRecord(ConsumerGroupPartitionMetadataKey(group_id=group), None)


def _current_tombstone(group: str, member: str) -> CoordinatorRecord:
    return CoordinatorRecord(ConsumerGroupCurrentMemberAssignmentKey(group_id=group, member_id=member), None)


def _target_tombstone(group: str, member: str) -> CoordinatorRecord:
    key = target_member.ConsumerGroupTargetAssignmentMemberKey(group_id=group, member_id=member)
    return CoordinatorRecord(key, None)


def _member_tombstone(group: str, member: str) -> CoordinatorRecord:
    return CoordinatorRecord(ConsumerGroupMemberMetadataKey(group_id=group, member_id=member), None)


def removal_records(group: str, member: str) -> list[CoordinatorRecord]:
    """In the order that replay needs."""
    return [_current_tombstone(group, member), _target_tombstone(group, member), _member_tombstone(group, member)]


def deletion_records(group: ConsumerGroup, members: Iterable[str] | None = None) -> list[CoordinatorRecord]:
    """All of a group; ``members`` where they are others than the group has."""
    ids = list(group.members) if members is None else list(members)
    records = [_current_tombstone(group.id, id_) for id_ in ids]
    records += [_target_tombstone(group.id, id_) for id_ in ids]
    records.append(CoordinatorRecord(ConsumerGroupTargetAssignmentMetadataKey(group_id=group.id), None))
    records += [_member_tombstone(group.id, id_) for id_ in ids]
    records += [regex_tombstone(group.id, regex) for regex in group.regexes]
    records.append(legacy_tombstone(group.id))
    records.append(CoordinatorRecord(ConsumerGroupMetadataKey(group_id=group.id), None))
    return records
