"""The requests of members and of who looks at groups (Kafka: ``KafkaApis``, ``GroupCoordinatorService``).

An answer leaves when all that was written before it on the group's partition is committed, a refusal at once. Joins and
syncs are answered when their rebalance has come so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from kafsim.coordinator.classic_group import DEAD, STABLE, ClassicGroup, Parked
from kafsim.coordinator.consumer_group import ConsumerGroup
from kafsim.coordinator.consumer_group_service import committed_state
from kafsim.coordinator.coordinator import Coordinator
from kafsim.coordinator.coordinator_runtime import CoordinatorRuntime
from kafsim.coordinator.group_metadata_manager import refused_join
from kafsim.coordinator.refusal import tell_refused
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from kafsim.protocol.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from kafsim.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kafsim.protocol.messages.join_group import JoinGroupRequest
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse
from kafsim.protocol.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse
from kafsim.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from kafsim.protocol.schema import changed
from kafsim.protocol.types import ConnectionId, Header, Micros

TYPE_SINCE, MEMBERS_SINCE, NOT_FOUND_SINCE = 5, 3, 6
CLASSIC, CONSUMER = "classic", "consumer"
Handle = Callable[[Micros, ConnectionId, Header, Any], None]


@attrs.define(eq=False)
class Gathering:
    """The answers of several groups or partitions, until all are there."""

    left: int
    answers: dict[str, Any] = attrs.field(factory=dict)


class GroupCoordinatorService:
    def __init__(self, outbox: Outbox, runtime: CoordinatorRuntime, settings: dict[str, Any]) -> None:
        self._outbox = outbox
        self._runtime = runtime
        self._settings = settings

    @property
    def apis(self) -> dict[type, Handle]:
        return {
            JoinGroupRequest: self.join,
            SyncGroupRequest: self.sync,
            HeartbeatRequest: self.heartbeat,
            LeaveGroupRequest: self.leave,
            DescribeGroupsRequest: self.describe,
            ListGroupsRequest: self.list,
            DeleteGroupsRequest: self.delete,
        }

    def _find(self, group: str) -> tuple[Coordinator | None, int]:
        return self._runtime.find(group) if group else (None, errors.INVALID_GROUP_ID)

    # ---------------------------------------------------------------------------- membership

    def join(self, now: Micros, connection: ConnectionId, header: Header, request: JoinGroupRequest) -> None:
        coordinator, error = self._find(request.group_id)
        least, most = (self._settings[f"group.{bound}.session.timeout.ms"] for bound in ("min", "max"))
        member_id = ""
        if error == errors.INVALID_GROUP_ID:
            member_id = request.member_id
        elif not least <= request.session_timeout_ms <= most:
            error, member_id = errors.INVALID_SESSION_TIMEOUT, request.member_id
            why = because(facts.SESSION_BOUNDS, given=request.session_timeout_ms, least=least, most=most)
            tell_refused(self._outbox, request.group_id, member_id, "JoinGroup", error, why)
        if coordinator is None or error:
            self._outbox.reply(connection, header, refused_join(header, error, member_id))
        else:
            coordinator.join(now, Parked(connection, header), request)

    def sync(self, now: Micros, connection: ConnectionId, header: Header, request: SyncGroupRequest) -> None:
        unnamed = header.version >= TYPE_SINCE and (request.protocol_type is None or request.protocol_name is None)
        coordinator, error = self._find(request.group_id)
        error = errors.INCONSISTENT_GROUP_PROTOCOL if unnamed else error
        if coordinator is None or error:
            self._outbox.reply(connection, header, SyncGroupResponse(error_code=error))
        else:
            coordinator.sync(now, Parked(connection, header), request)

    def heartbeat(self, now: Micros, connection: ConnectionId, header: Header, request: HeartbeatRequest) -> None:
        """While the coordinator loads, all is well."""
        coordinator, error = self._find(request.group_id)
        if coordinator is None:
            error = errors.NONE if error == errors.COORDINATOR_LOAD_IN_PROGRESS else error
            self._outbox.reply(connection, header, HeartbeatResponse(error_code=error))
            return
        error = coordinator.heartbeat(now, request)

        def then(_: Micros, lost: int) -> None:
            self._outbox.reply(connection, header, HeartbeatResponse(error_code=lost or error))

        self._answer(now, coordinator, error == errors.REBALANCE_IN_PROGRESS or not error, then)

    def _answer(self, now: Micros, coordinator: Coordinator, waits: bool, then: Callable[[Micros, int], None]) -> None:
        """At once, or when all before is committed."""
        if waits:
            coordinator.shard.write(now, [], then)
        else:
            then(now, errors.NONE)

    def leave(self, now: Micros, connection: ConnectionId, header: Header, request: LeaveGroupRequest) -> None:
        if header.version < MEMBERS_SINCE:
            request = changed(request, members=(MemberIdentity(member_id=request.member_id),))
        coordinator, error = self._find(request.group_id)
        if coordinator is None:
            self._outbox.reply(connection, header, LeaveGroupResponse(error_code=error))
            return
        members, failed = coordinator.leave(now, request)
        waits = any(not member.error_code for member in members)

        def then(_: Micros, lost: int) -> None:
            self._outbox.reply(connection, header, _left(header, members, lost or failed))

        self._answer(now, coordinator, waits, then)

    # -------------------------------------------------------------------------------- groups

    def describe(self, now: Micros, connection: ConnectionId, header: Header, request: DescribeGroupsRequest) -> None:
        groups = tuple(self._describe(group, header.version) for group in request.groups)
        self._outbox.reply(connection, header, DescribeGroupsResponse(groups=groups))

    def _describe(self, id_: str, version: int) -> DescribedGroup:
        coordinator, error = self._runtime.find(id_)
        if coordinator is None:
            return DescribedGroup(group_id=id_, error_code=error)
        group = coordinator.shard.groups.committed(id_)
        if group is None:
            known = version >= NOT_FOUND_SINCE
            return DescribedGroup(
                group_id=id_,
                group_state=DEAD,
                error_code=errors.GROUP_ID_NOT_FOUND if known else errors.NONE,
                error_message=f"Group {id_} not found." if known else None,
            )
        if isinstance(group, ConsumerGroup):
            known = version >= NOT_FOUND_SINCE
            return DescribedGroup(
                group_id=id_,
                group_state=DEAD,
                error_code=errors.GROUP_ID_NOT_FOUND if known else errors.NONE,
                error_message=f"Group {id_} is not a classic group." if known else None,
            )
        return _described(group)

    def list(self, now: Micros, connection: ConnectionId, header: Header, request: ListGroupsRequest) -> None:
        states = [state.strip().lower() for state in request.states_filter]
        types = [type_.lower() for type_ in request.types_filter]
        found = []
        for coordinator in self._runtime.coordinators.values():
            if not coordinator.shard.is_active:
                if not coordinator.shard.is_failed:
                    answer = ListGroupsResponse(error_code=errors.COORDINATOR_LOAD_IN_PROGRESS)
                    self._outbox.reply(connection, header, answer)
                    return
                continue
            table = coordinator.shard.groups
            for id_ in dict.fromkeys((*table, *table.touched())):
                group = table.committed(id_)
                if group is None:
                    continue
                is_consumer = isinstance(group, ConsumerGroup)
                state = committed_state(group) if isinstance(group, ConsumerGroup) else group.state
                type_ = CONSUMER if is_consumer else CLASSIC
                if (states and state.lower() not in states) or (types and type_ not in types):
                    continue
                found.append(
                    ListedGroup(
                        group_id=id_,
                        protocol_type=group.protocol_type or "",
                        group_state=state,
                        group_type=type_,
                    )
                )
        self._outbox.reply(connection, header, ListGroupsResponse(groups=tuple(found)))

    def delete(self, now: Micros, connection: ConnectionId, header: Header, request: DeleteGroupsRequest) -> None:
        names = list(dict.fromkeys(request.groups_names))
        gathering = Gathering(len(names))

        def settle(name: str, error: int) -> None:
            gathering.answers[name] = DeletableGroupResult(group_id=name, error_code=error)
            gathering.left -= 1
            if not gathering.left:
                results = tuple(gathering.answers[one] for one in names)
                self._outbox.reply(connection, header, DeleteGroupsResponse(results=results))

        if not names:
            self._outbox.reply(connection, header, DeleteGroupsResponse())
        for name in names:
            coordinator, error = self._runtime.find(name)
            if coordinator is None:
                settle(name, error)
            else:
                coordinator.offsets.delete_group(now, name, lambda _, error, name=name: settle(name, error))  # type: ignore[misc]


def _left(header: Header, members: tuple[MemberResponse, ...], lost: int) -> LeaveGroupResponse:
    if header.version < MEMBERS_SINCE:
        return LeaveGroupResponse(error_code=lost or members[0].error_code)
    return LeaveGroupResponse(error_code=lost, members=() if lost else members)


def _described(group: ClassicGroup) -> DescribedGroup:
    is_stable = group.state == STABLE
    members = tuple(
        DescribedGroupMember(
            member_id=m.id,
            group_instance_id=m.instance,
            client_id=m.client_id,
            client_host=m.client_host,
            member_metadata=m.metadata(group.protocol or "") if is_stable else b"",
            member_assignment=m.assignment,
        )
        for m in (group.members[id_] for id_ in group.in_order())
    )
    return DescribedGroup(
        group_id=group.id,
        group_state=group.state,
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol or "") if is_stable else "",
        members=members,
    )
