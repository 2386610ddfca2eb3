"""The two requests of the consumer protocol: heartbeat and describe (KIP-848; Kafka: ``GroupCoordinatorService``).

What is wrong with a heartbeat by itself is told before its group is asked. A description is of what is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafsim.coordinator.classic_group import Parked
from kafsim.coordinator.consumer_group import (
    JOINS,
    LEFT_FOR_A_WHILE,
    LEFT_FOR_GOOD,
    ConsumerGroup,
    ConsumerGroupMember,
    MemberState,
    add,
    state_of,
)
from kafsim.coordinator.coordinator_runtime import CoordinatorRuntime
from kafsim.coordinator.refusal import Refused, tell_refused
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
    TopicPartitions,
)
from kafsim.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from kafsim.protocol.types import ConnectionId, Header, Micros
from kafsim.protocol.uuid import Uuid

ID_FROM_CLIENT_SINCE = TYPE_SINCE = 1
CLASSIC_TYPE, CONSUMER_TYPE = 0, 1
FEATURE = "group.version"
Handle = Callable[[Micros, ConnectionId, Header, Any], None]


class ConsumerGroupService:
    """``feature``: the level of a feature that the cluster has."""

    def __init__(
        self,
        outbox: Outbox,
        runtime: CoordinatorRuntime,
        settings: Mapping[str, Any],
        feature: Callable[[str], int],
    ) -> None:
        self._outbox = outbox
        self._runtime = runtime
        self._settings = settings
        self._feature = feature

    @property
    def apis(self) -> dict[type, Handle]:
        return {
            ConsumerGroupHeartbeatRequest: self.heartbeat,
            ConsumerGroupDescribeRequest: self.describe,
        }

    @property
    def _is_enabled(self) -> bool:
        return "consumer" in self._settings["group.coordinator.rebalance.protocols"] and self._feature(FEATURE) >= 1

    # --------------------------------------------------------------------------- heartbeat

    def heartbeat(
        self, now: Micros, connection: ConnectionId, header: Header, request: ConsumerGroupHeartbeatRequest
    ) -> None:
        def reply(_: Micros, response: ConsumerGroupHeartbeatResponse) -> None:
            self._outbox.reply(connection, header, response)

        try:
            if not self._is_enabled:
                raise Refused(errors.UNSUPPORTED_VERSION, why=because(facts.NO_CONSUMER_GROUPS))
            self._check(header, request)
        except Refused as refused:
            id_, name = request.member_id, "ConsumerGroupHeartbeat"
            tell_refused(self._outbox, request.group_id, id_, name, refused.code, refused.why)
            reply(now, ConsumerGroupHeartbeatResponse(error_code=refused.code, error_message=refused.message))
            return
        coordinator, error = self._runtime.find(request.group_id)
        if coordinator is None:
            reply(now, ConsumerGroupHeartbeatResponse(error_code=error))
        else:
            coordinator.consumers.heartbeat(now, Parked(connection, header), request, reply)

    def _check(self, header: Header, request: ConsumerGroupHeartbeatRequest) -> None:
        """Refused, in Kafka's order."""
        epoch = request.member_epoch
        by_client = header.version >= ID_FROM_CLIENT_SINCE or epoch > JOINS or epoch == LEFT_FOR_GOOD
        texts = {"GroupId": request.group_id, "InstanceId": request.instance_id, "RackId": request.rack_id}
        if by_client and not request.member_id.strip():
            raise _invalid("MemberId can't be empty.")
        for name, text in texts.items():
            if text is not None and not text.strip():
                raise _invalid(f"{name} can't be empty.")
        if epoch == JOINS:
            self._check_join(request)
        elif epoch == LEFT_FOR_A_WHILE and request.instance_id is None:
            raise _invalid("InstanceId can't be null.")
        elif epoch < LEFT_FOR_A_WHILE:
            raise _invalid("MemberEpoch is invalid.")
        known = self._settings["group.consumer.assignors"]
        if request.server_assignor is not None and request.server_assignor not in known:
            text = (
                f"ServerAssignor {request.server_assignor} is not supported. Supported assignors: {', '.join(known)}."
            )
            raise Refused(errors.UNSUPPORTED_ASSIGNOR, text)

    def _check_join(self, request: ConsumerGroupHeartbeatRequest) -> None:
        if request.rebalance_timeout_ms == -1:
            raise _invalid("RebalanceTimeoutMs must be provided in first request.")
        if request.topic_partitions is None or request.topic_partitions:
            raise _invalid("TopicPartitions must be empty when (re-)joining.")
        if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
            text = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
            raise _invalid(text)

    # ---------------------------------------------------------------------------- describe

    def describe(
        self, now: Micros, connection: ConnectionId, header: Header, request: ConsumerGroupDescribeRequest
    ) -> None:
        groups = tuple(self._describe(header, id_) for id_ in request.group_ids)
        self._outbox.reply(connection, header, ConsumerGroupDescribeResponse(groups=groups))

    def _describe(self, header: Header, id_: str) -> DescribedGroup:
        if not self._is_enabled:
            return DescribedGroup(group_id=id_, error_code=errors.UNSUPPORTED_VERSION)
        if not id_:
            return DescribedGroup(group_id=id_, error_code=errors.INVALID_GROUP_ID)
        coordinator, error = self._runtime.find(id_)
        if coordinator is None:
            return DescribedGroup(group_id=id_, error_code=error)
        group = coordinator.shard.groups.committed(id_)
        if not isinstance(group, ConsumerGroup):
            text = f"Group {id_} not found." if group is None else f"Group {id_} is not a consumer group."
            return DescribedGroup(group_id=id_, error_code=errors.GROUP_ID_NOT_FOUND, error_message=text)
        members = committed_members(group)
        votes: dict[str, int] = {}
        for member in members.values():
            if member.assignor is not None:
                add(votes, member.assignor, 1)
        known = [name for name in ("uniform", "range") if name in votes]
        assignor = max(known, key=lambda name: votes[name], default=self._settings["group.consumer.assignors"][0])
        return DescribedGroup(
            group_id=id_,
            group_state=_state(group, members.values()),
            group_epoch=group.numbers.committed("epoch") or 1,
            assignment_epoch=_assignment_epoch(group),
            assignor_name=assignor,
            members=tuple(_described(coordinator.topics, group, member, header.version) for member in members.values()),
        )


def _invalid(text: str) -> Refused:
    return Refused(errors.INVALID_REQUEST, text)


def committed_members(group: ConsumerGroup) -> dict[str, ConsumerGroupMember]:
    ids = dict.fromkeys((*group.in_order(), *group.members.touched()))
    found = {id_: group.members.committed(id_) for id_ in ids}
    return {id_: member for id_, member in found.items() if member is not None}


def _assignment_epoch(group: ConsumerGroup) -> int:
    found = group.numbers.committed("assignment epoch")
    return 1 if found is None else found


def committed_state(group: ConsumerGroup) -> str:
    """The state of the group, as far as it is committed."""
    return _state(group, committed_members(group).values())


def _state(group: ConsumerGroup, members: Collection[ConsumerGroupMember]) -> str:
    """``members``: those that are committed."""
    epoch = _assignment_epoch(group)
    settled = sum(member.state is MemberState.STABLE and member.epoch == epoch for member in members)
    return state_of(len(members), settled, group.numbers.committed("epoch") or 1, epoch)


def _described(topics: Topics, group: ConsumerGroup, member: ConsumerGroupMember, version: int) -> Member:
    owned: dict[Uuid, list[int]] = {}
    for partitions in (member.assigned, member.pending):
        for topic, indexes in partitions.items():
            owned.setdefault(topic, []).extend(indexes)
    return Member(
        member_id=member.id,
        instance_id=member.instance,
        rack_id=member.rack,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=member.topics,
        subscribed_topic_regex=member.regex,
        assignment=_assignment(topics, owned),
        target_assignment=_assignment(topics, group.targets.committed(member.id) or {}),
        member_type=(CLASSIC_TYPE if member.is_classic else CONSUMER_TYPE) if version >= TYPE_SINCE else -1,
    )


def _assignment(topics: Topics, partitions: Mapping[Uuid, Any]) -> Assignment:
    """Topics that are gone are left out."""
    return Assignment(
        topic_partitions=tuple(
            TopicPartitions(topic_id=id_, topic_name=name, partitions=tuple(sorted(indexes)))
            for id_, indexes in partitions.items()
            if (name := topics.name_of(id_)) is not None
        )
    )
