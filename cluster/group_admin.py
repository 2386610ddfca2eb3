"""What an admin client does with groups: list, describe, offsets, members (Kafka: ``Admin``, its group operations)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.clients.errors import KafkaError
from kafsim.cluster import arguments
from kafsim.cluster.handles import Handle, partition_of
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import decode_partitions
from kafsim.protocol.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    DescribedGroup,
    Member,
)
from kafsim.protocol.messages.delete_groups import DeleteGroupsRequest
from kafsim.protocol.messages.describe_groups import DescribedGroupMember, DescribeGroupsRequest
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kafsim.protocol.messages.list_groups import ListedGroup, ListGroupsRequest
from kafsim.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kafsim.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from kafsim.protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from kafsim.protocol.types import TopicPartition, by_topic
from kafsim.protocol.wire.primitives import WireError

OFFSET_COMMIT, OFFSET_FETCH, LEAVE_GROUP, DESCRIBE_GROUPS, LIST_GROUPS = 8, 9, 13, 15, 16
DELETE_GROUPS, OFFSET_DELETE, CONSUMER_GROUP_DESCRIBE = 42, 47, 69
CONSUMER_MEMBER = 1
REMOVED = "member was removed by an admin"
Partition = TopicPartition | tuple[str, int] | str


@attrs.frozen
class MemberDescription:
    """``assignment`` is empty where the blob of the assignor cannot be read."""

    member_id: str
    instance_id: str | None
    client_id: str
    assignment: tuple[TopicPartition, ...]
    epoch: int | None = None
    target: tuple[TopicPartition, ...] | None = None
    is_upgraded: bool | None = None
    """Does it speak the consumer protocol? None in a classic group, as ``epoch`` and ``target`` are."""


@attrs.frozen
class GroupDescription:
    """``assignor`` is empty while a classic group is not Stable.

    ``epoch`` and ``target_epoch``: of a group of the consumer protocol, None of a classic one.
    """

    group: str
    state: str
    protocol_type: str
    assignor: str
    members: tuple[MemberDescription, ...]
    type: str = "Classic"
    epoch: int | None = None
    target_epoch: int | None = None


class GroupAdminHandle(Handle):
    """Requests go to the coordinator of the group, which is looked up and asked again until it answers."""

    async def _ask_coordinator(self, group: str, api: int, request: object, what: str, version: int) -> Any:
        """The response of the group's coordinator."""
        ask = calls.Ask(api, request, to_coordinator_of=arguments.text(group, "a group"), version=version)
        return await self._ask(ask, f"{what} group {group}").wait()

    async def list_groups(self, brokers: Iterable[int]) -> list[ListedGroup]:
        """The groups whose coordinators are on these brokers."""
        found: list[ListedGroup] = []
        for broker in brokers:
            ask = calls.Ask(LIST_GROUPS, ListGroupsRequest(), to_broker=broker, version=5)
            response = await self._ask(ask, f"list groups of broker {broker}").wait()
            _raise_for(response.error_code)
            found += response.groups
        return found

    async def describe_group(self, group: str) -> GroupDescription:
        """Of either protocol; raises GROUP_ID_NOT_FOUND for one that is not there."""
        asked = ConsumerGroupDescribeRequest(group_ids=(group,))
        found = (await self._ask_coordinator(group, CONSUMER_GROUP_DESCRIBE, asked, "describe", 1)).groups[0]
        if found.error_code not in (errors.GROUP_ID_NOT_FOUND, errors.UNSUPPORTED_VERSION):
            _raise_for(found.error_code, found.error_message)
            return _consumer_group(found)
        return await self._describe_classic(group)

    async def _describe_classic(self, group: str) -> GroupDescription:
        request = DescribeGroupsRequest(groups=(group,))
        answer = (await self._ask_coordinator(group, DESCRIBE_GROUPS, request, "describe", 6)).groups[0]
        _raise_for(answer.error_code, answer.error_message)
        members = tuple(map(_member, answer.members))
        return GroupDescription(group, answer.group_state, answer.protocol_type, answer.protocol_data, members)

    async def list_group_offsets(self, group: str) -> dict[TopicPartition, int]:
        """What is committed: the next offset to read of each partition."""
        request = OffsetFetchRequest(groups=(OffsetFetchRequestGroup(group_id=group, topics=None),))
        answer = (await self._ask_coordinator(group, OFFSET_FETCH, request, "list the offsets of", 9)).groups[0]
        _raise_for(answer.error_code)
        return {
            TopicPartition(topic.name, one.partition_index): one.committed_offset
            for topic in answer.topics
            for one in topic.partitions
            if not one.error_code
        }

    async def alter_group_offsets(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Raises what the first partition is refused for; UNKNOWN_MEMBER_ID while the group has members."""
        topics: dict[str, list[OffsetCommitRequestPartition]] = {}
        for given, offset in offsets.items():
            tp = partition_of(given)
            one = OffsetCommitRequestPartition(partition_index=tp.partition, committed_offset=arguments.offset(offset))
            topics.setdefault(tp.topic, []).append(one)
        request = OffsetCommitRequest(
            group_id=group,
            topics=tuple(OffsetCommitRequestTopic(name=name, partitions=tuple(p)) for name, p in topics.items()),
        )
        response = await self._ask_coordinator(group, OFFSET_COMMIT, request, "alter the offsets of", 9)
        for topic in response.topics:
            for answer in topic.partitions:
                _raise_for(answer.error_code)

    async def delete_group_offsets(self, group: str, partitions: Iterable[Partition]) -> None:
        """Raises GROUP_SUBSCRIBED_TO_TOPIC for a topic that the members of the group read."""
        topics = tuple(
            OffsetDeleteRequestTopic(
                name=name, partitions=tuple(OffsetDeleteRequestPartition(partition_index=index) for index in indexes)
            )
            for name, indexes in by_topic(map(partition_of, partitions)).items()
        )
        request = OffsetDeleteRequest(group_id=group, topics=topics)
        response = await self._ask_coordinator(group, OFFSET_DELETE, request, "delete offsets of", 0)
        _raise_for(response.error_code)
        for topic in response.topics:
            for answer in topic.partitions:
                _raise_for(answer.error_code)

    async def delete_group(self, group: str) -> None:
        """Raises NON_EMPTY_GROUP while it has members."""
        request = DeleteGroupsRequest(groups_names=(group,))
        response = await self._ask_coordinator(group, DELETE_GROUPS, request, "delete", 2)
        _raise_for(response.results[0].error_code)

    async def remove_members(self, group: str, instance_ids: Iterable[str] | None = None) -> None:
        """Static members by their instance ids, or all members of the group."""
        if instance_ids is None:
            members = (await self.describe_group(group)).members
            asked = [(m.member_id if m.instance_id is None else "", m.instance_id) for m in members]
        else:
            asked = [("", instance) for instance in instance_ids]
        if not asked:
            raise ValueError("Invalid empty members has been provided")
        identities = tuple(MemberIdentity(member_id=m, group_instance_id=i, reason=REMOVED) for m, i in asked)
        request = LeaveGroupRequest(group_id=group, members=identities)
        response = await self._ask_coordinator(group, LEAVE_GROUP, request, "remove members of", 5)
        _raise_for(response.error_code)
        for answer in response.members:
            _raise_for(answer.error_code)


def _raise_for(error: int, message: str | None = None) -> None:
    if error != errors.NONE:
        raise KafkaError(error, message)


def _consumer_group(given: DescribedGroup) -> GroupDescription:
    return GroupDescription(
        given.group_id,
        given.group_state,
        "consumer",
        given.assignor_name,
        tuple(map(_consumer_member, given.members)),
        type="Consumer",
        epoch=given.group_epoch,
        target_epoch=given.assignment_epoch,
    )


def _consumer_member(given: Member) -> MemberDescription:
    return MemberDescription(
        given.member_id,
        given.instance_id,
        given.client_id,
        _partitions(given.assignment),
        epoch=given.member_epoch,
        target=_partitions(given.target_assignment),
        is_upgraded=given.member_type == CONSUMER_MEMBER,
    )


def _partitions(given: Assignment) -> tuple[TopicPartition, ...]:
    return tuple(
        TopicPartition(topic.topic_name, index) for topic in given.topic_partitions for index in topic.partitions
    )


def _member(given: DescribedGroupMember) -> MemberDescription:
    try:
        partitions = decode_partitions(given.member_assignment)
    except WireError:
        partitions = ()
    return MemberDescription(given.member_id, given.group_instance_id, given.client_id, partitions)
