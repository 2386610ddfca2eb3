"""The records that a group coordinator writes (Kafka: ``GroupCoordinatorRecordHelpers``)."""

from __future__ import annotations

from typing import Any, NamedTuple

from kafsim.coordinator.classic_group import ClassicGroup, Member
from kafsim.protocol.group_records.group_metadata import GroupMetadataKey, GroupMetadataValue, MemberMetadata
from kafsim.protocol.group_records.offset_commit import OffsetCommitKey, OffsetCommitValue
from kafsim.protocol.uuid import Uuid

GROUP_VERSION = 3
OFFSET_VERSION, EXPIRING_OFFSET_VERSION = 4, 1


class CoordinatorRecord(NamedTuple):
    """``value`` of None takes away what the key names."""

    key: Any
    value: Any
    version: int = 0


def group_record(group: ClassicGroup, assignments: dict[str, bytes]) -> CoordinatorRecord:
    """The whole group, with the assignments that its members get."""
    members = tuple(_member(group.members[id_], group.protocol or "", assignments) for id_ in group.in_order())
    value = GroupMetadataValue(
        protocol_type=group.protocol_type or "",
        generation=group.generation,
        protocol=group.protocol,
        leader=group.leader,
        current_state_timestamp=-1 if group.since_ms is None else group.since_ms,
        members=members,
    )
    return CoordinatorRecord(GroupMetadataKey(group=group.id), value, GROUP_VERSION)


def _member(member: Member, protocol: str, assignments: dict[str, bytes]) -> MemberMetadata:
    return MemberMetadata(
        member_id=member.id,
        group_instance_id=member.instance,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout=member.rebalance_ms,
        session_timeout=member.session_ms,
        subscription=member.metadata(protocol),
        assignment=assignments[member.id],
    )


def group_tombstone(group: str) -> CoordinatorRecord:
    return CoordinatorRecord(GroupMetadataKey(group=group), None)


def offset_record(
    group: str, topic: str, partition: int, *, expires_ms: int = -1, topic_id: Uuid, **fields: Any
) -> CoordinatorRecord:
    """``fields``: offset, leader_epoch, metadata, commit_timestamp."""
    value = OffsetCommitValue(expire_timestamp=expires_ms, topic_id=topic_id, **fields)
    version = OFFSET_VERSION if expires_ms < 0 else EXPIRING_OFFSET_VERSION
    return CoordinatorRecord(OffsetCommitKey(group=group, topic=topic, partition=partition), value, version)


def offset_tombstone(group: str, topic: str, partition: int) -> CoordinatorRecord:
    return CoordinatorRecord(OffsetCommitKey(group=group, topic=topic, partition=partition), None)
