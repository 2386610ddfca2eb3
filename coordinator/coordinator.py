"""One partition of ``__consumer_offsets`` with all that works on its groups, of whichever protocol they are."""

from __future__ import annotations

from kafsim.coordinator.classic_group import Parked
from kafsim.coordinator.classic_joins import ClassicJoins
from kafsim.coordinator.consumer_group import ConsumerGroup
from kafsim.coordinator.consumer_group_classic import ClassicMembers
from kafsim.coordinator.consumer_group_manager import ConsumerGroupManager
from kafsim.coordinator.consumer_group_records import deletion_records
from kafsim.coordinator.group_metadata_manager import GroupMetadataManager, refused_join
from kafsim.coordinator.group_migration import GroupMigration
from kafsim.coordinator.offset_metadata_manager import OffsetMetadataManager
from kafsim.coordinator.refusal import Refused, tell_refused, unknown_member
from kafsim.coordinator.shard import GroupShard
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.messages.heartbeat import HeartbeatRequest
from kafsim.protocol.messages.join_group import JoinGroupRequest
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, MemberResponse
from kafsim.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from kafsim.protocol.types import Micros


class Coordinator:
    """``classic`` and ``consumers`` manage the groups of the two protocols."""

    def __init__(self, shard: GroupShard, topics: Topics) -> None:
        self.shard = shard
        self.topics = topics
        self.classic = GroupMetadataManager(shard)
        self._joins = ClassicJoins(shard, self.classic)
        migration = GroupMigration(shard, topics, self.classic)
        self.consumers = ConsumerGroupManager(shard, topics, migration)
        shard.on_loaded.append(self.consumers.on_loaded)
        self._classic_members = ClassicMembers(shard, topics, self.consumers, migration)
        self.offsets = OffsetMetadataManager(shard, self.classic)

    def _consumer_group(self, id_: str) -> ConsumerGroup | None:
        group = self.shard.groups.get(id_)
        return group if isinstance(group, ConsumerGroup) else None

    def join(self, now: Micros, parked: Parked, request: JoinGroupRequest) -> None:
        group = self._consumer_group(request.group_id)
        if group is None:
            self._joins.join(now, parked, request)
        elif group.members:
            try:
                self._classic_members.join(now, parked, request, group)
            except Refused as refused:
                self._tell("JoinGroup", request, refused)
                self.shard.reply(*parked, refused_join(parked.header, refused.code, ""))
        elif request.member_id:
            self._tell("JoinGroup", request, unknown_member(group.id, request.member_id))
            self.shard.reply(*parked, refused_join(parked.header, errors.UNKNOWN_MEMBER_ID, request.member_id))
        else:
            self._joins.create_and_join(now, parked, request, deletion_records(group))

    def sync(self, now: Micros, parked: Parked, request: SyncGroupRequest) -> None:
        group = self._consumer_group(request.group_id)
        if group is None:
            self.classic.sync(now, parked, request)
            return
        try:
            self._classic_members.sync(now, parked, request, group)
        except Refused as refused:
            self._tell("SyncGroup", request, refused)
            self.shard.reply(*parked, SyncGroupResponse(error_code=refused.code))

    def heartbeat(self, now: Micros, request: HeartbeatRequest) -> int:
        group = self._consumer_group(request.group_id)
        if group is None:
            return self.classic.heartbeat(now, request)
        try:
            return self._classic_members.heartbeat(now, request, group)
        except Refused as refused:
            self._tell("Heartbeat", request, refused)
            return refused.code

    def _tell(
        self, name: str, request: JoinGroupRequest | SyncGroupRequest | HeartbeatRequest, refused: Refused
    ) -> None:
        tell_refused(self.shard.outbox, request.group_id, request.member_id, name, refused.code, refused.why)

    def leave(self, now: Micros, request: LeaveGroupRequest) -> tuple[tuple[MemberResponse, ...], int]:
        group = self._consumer_group(request.group_id)
        if group is None:
            return self.classic.leave(now, request)
        return self._classic_members.leave(now, request, group)
