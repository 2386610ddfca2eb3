"""Who joins a classic group: new members, those that come again, static ones in place of others.

Kafka: ``GroupMetadataManager.classicGroupJoin``.
"""

from __future__ import annotations

from typing import Any

from kafsim.coordinator.classic_group import (
    COMPLETING,
    DEAD,
    EMPTY,
    HOST,
    PREPARING,
    ClassicGroup,
    Member,
    Parked,
    Protocols,
)
from kafsim.coordinator.consumer_group import ConsumerGroup
from kafsim.coordinator.group_metadata_manager import NEW_MEMBER_JOIN_MS, GroupMetadataManager, listed
from kafsim.coordinator.records import CoordinatorRecord, group_record
from kafsim.coordinator.refusal import tell_refused, why_invalid
from kafsim.coordinator.shard import GroupShard
from kafsim.protocol import errors
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kafsim.protocol.types import Micros

MEMBER_ID_SINCE, SKIP_ASSIGNMENT_SINCE = 4, 9


class ClassicJoins:
    """To the groups of one shard."""

    def __init__(self, shard: GroupShard, manager: GroupMetadataManager) -> None:
        self._shard = shard
        self._manager = manager
        self._settings: dict[str, Any] = shard.settings

    def join(self, now: Micros, parked: Parked, request: JoinGroupRequest) -> None:
        group = self._shard.classic(request.group_id)
        if group is None:
            if request.member_id:
                why = because(facts.NO_GROUP)
                self._refuse(parked, request, errors.UNKNOWN_MEMBER_ID, request.member_id, why)
            else:
                self.create_and_join(now, parked, request, [])
            return
        self._join(now, parked, request, group)

    def create_and_join(
        self, now: Micros, parked: Parked, request: JoinGroupRequest, before: list[CoordinatorRecord]
    ) -> None:
        """The empty group is written beside, after the records of ``before``, which take away what the group was.

        A failure of that is told to whoever makes it, if it still waits.
        """
        was = self._shard.groups.get(request.group_id)
        group = ClassicGroup(request.group_id, self._shard.wall_ms(now))
        record = group_record(group, {})
        self._shard.note_new(group)
        self._join(now, parked, request, group)

        def then(_: Micros, error: int) -> None:
            if error:
                self._shard.undone[group.id] = None
            for member in list(group.members.values()) if error else ():
                if member.join is parked:
                    self._manager.answer_join(member, error, "")

        if not self._shard.write(now, [*before, record], then, replay=False):
            if was is None:
                self._shard.groups.delete(group.id)
            else:
                self._shard.groups.put(group.id, was)
            self._shard.timers.cancel(("join", group.id))
        elif isinstance(was, ConsumerGroup):
            why = because(facts.MIGRATED, member=parked.header.client_id or "", protocol="classic")
            self._shard.tell_committed(
                facts.GroupConverted(group=group.id, type="classic", epoch=0, members=(), because=why)
            )

    def _join(self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ClassicGroup) -> None:
        if not self._accepts(group, request.member_id):
            group.remove(request.member_id)
            why = because(facts.FULL, most=self._settings["group.max.size"])
            self._refuse(parked, request, errors.GROUP_MAX_SIZE_REACHED, "", why)
        elif not request.member_id:
            self._join_new(now, parked, request, group)
        else:
            self._join_known(now, parked, request, group)

    def _accepts(self, group: ClassicGroup, member_id: str) -> bool:
        most = self._settings["group.max.size"]
        member = group.members.get(member_id)
        if group.state == PREPARING:
            return (member is not None and member.join is not None) or group.waiting_to_join < most
        return group.state in (EMPTY, DEAD) or member is not None or len(group.members) < most

    def _join_new(self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ClassicGroup) -> None:
        names = [protocol.name for protocol in request.protocols]
        if not group.supports(request.protocol_type, names):
            self._refuse(parked, request, errors.INCONSISTENT_GROUP_PROTOCOL, "", because(facts.OTHER_PROTOCOL))
            return
        id_ = f"{request.group_instance_id or parked.header.client_id or ''}-{self._new_uuid()}"
        if request.group_instance_id in group.static:
            self._replace_static(now, parked, request, group, id_)
        elif request.group_instance_id is None and parked.header.version >= MEMBER_ID_SINCE:
            group.pending[id_] = None
            self._manager.wait_for(now, group, id_, request.session_timeout_ms)
            self._manager.refuse_join(parked, errors.MEMBER_ID_REQUIRED, id_)
        else:
            self._add(now, parked, request, group, id_)

    def _new_uuid(self) -> str:
        text = self._shard.given.entropy.uuid().hex()
        return "-".join((text[:8], text[8:12], f"4{text[13:16]}", text[16:20], text[20:]))

    def _join_known(self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ClassicGroup) -> None:
        id_ = request.member_id
        if not group.supports(request.protocol_type, [protocol.name for protocol in request.protocols]):
            self._refuse(parked, request, errors.INCONSISTENT_GROUP_PROTOCOL, id_, because(facts.OTHER_PROTOCOL))
            return
        if id_ in group.pending:
            if request.group_instance_id is not None:
                self._refuse(parked, request, errors.UNKNOWN_SERVER_ERROR, "", because(facts.GIVEN_OUT))
                return
            error = errors.NONE
        else:
            error = group.validate(id_, request.group_instance_id)
        if error:
            self._refuse(parked, request, error, id_, why_invalid(group, request.group_instance_id, error))
        elif id_ in group.pending:
            self._add(now, parked, request, group, id_)
        else:
            self._rejoin(now, parked, request, group, group.members[id_])

    def _rejoin(
        self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ClassicGroup, member: Member
    ) -> None:
        is_same = member.protocols == _protocols(request)
        if group.state == EMPTY:
            self._refuse(parked, request, errors.UNKNOWN_MEMBER_ID, member.id, because(facts.EMPTY_AGAIN))
        elif group.state == PREPARING:
            self._update(member, parked, request)
            self._manager.maybe_complete(now, group)
        elif is_same and (group.state == COMPLETING or member.id != group.leader):
            self._manager.reply_join(parked, group, member)
        else:
            self._update(member, parked, request)
            reason = request.reason or "not provided"
            why = because(facts.LEADER_REJOINED, member=member.id, reason=reason)
            self._manager.prepare(now, group, why if is_same else because(facts.CHANGED, member=member.id))

    def _refuse(self, parked: Parked, request: JoinGroupRequest, error: int, answered_id: str, why: Because) -> None:
        tell_refused(self._shard.outbox, request.group_id, request.member_id, "JoinGroup", error, why)
        self._manager.refuse_join(parked, error, answered_id)

    def _update(self, member: Member, parked: Parked, request: JoinGroupRequest) -> None:
        member.protocols = _protocols(request)
        member.rebalance_ms, member.session_ms = _timeouts(request)
        member.join = parked

    def _add(self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ClassicGroup, id_: str) -> None:
        rebalance_ms, session_ms = _timeouts(request)
        member = Member(
            id=id_,
            instance=request.group_instance_id,
            client_id=parked.header.client_id or "",
            client_host=HOST,
            rebalance_ms=rebalance_ms,
            session_ms=session_ms,
            protocols=_protocols(request),
            join=parked,
            is_new=True,
        )
        if group.state == PREPARING and group.previous == EMPTY:
            group.newly_added = True
        group.add(member, request.protocol_type)
        self._shard.outbox.happened(
            facts.MemberAdded(group=group.id, member=id_, instance=member.instance, client=member.client_id)
        )
        self._manager.set_session(now, group, member, NEW_MEMBER_JOIN_MS)
        why = because(facts.JOINED, member=id_, reason=request.reason or "not provided")
        self._manager.prepare_or_complete(now, group, why)

    # ------------------------------------------------------------------------------ static

    def _replace_static(
        self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ClassicGroup, id_: str
    ) -> None:
        """A new process has the instance id: the old member is fenced, and the rest need not notice."""
        assert request.group_instance_id is not None, "it was looked up"
        old = group.members[group.static[request.group_instance_id]]
        leader_before = group.leader or ""
        self._manager.answer_join(old, errors.FENCED_INSTANCE_ID, old.id)
        self._manager.answer_sync(group, old, errors.FENCED_INSTANCE_ID)
        member = group.replace(old.id, id_)
        why = because(facts.REPLACED, member=id_, instance=old.instance, old=old.id)
        self._shard.outbox.happened(
            facts.MemberAdded(group=group.id, member=id_, instance=old.instance, client=parked.header.client_id or "")
        )
        self._shard.outbox.happened(facts.MemberRemoved(group=group.id, member=old.id, because=why))
        self._manager.set_session(now, group, member, old.session_ms)
        before = (member.protocols, member.rebalance_ms, member.session_ms)
        self._update(member, parked, request)
        if group.state == PREPARING:
            self._manager.maybe_complete(now, group)
        elif group.state == COMPLETING or group.select_protocol() != group.protocol:
            self._manager.prepare(now, group, why)
        else:
            assignments = {m.id: m.assignment for m in group.members.values()}

            def then(at: Micros, error: int) -> None:
                waits = member.join is parked  # else it was answered: replaced, removed, or part of a new generation
                if error:
                    self._shard.undone[group.id] = None
                    member.protocols, member.rebalance_ms, member.session_ms = before
                    if waits:
                        self._manager.answer_join(member, error, "")
                    if group.members.get(id_) is member:
                        self._manager.renew_session(at, group, group.replace(id_, old.id))
                elif waits:
                    member.join = None
                    self._reply_replaced(parked, group, member, leader_before)

            self._shard.write(now, [group_record(group, assignments)], then, replay=False)

    def _reply_replaced(self, parked: Parked, group: ClassicGroup, member: Member, leader_before: str) -> None:
        """From version 9 on the new leader learns that it leads, and that there is nothing to assign (KIP-814)."""
        knows = parked.header.version >= SKIP_ASSIGNMENT_SINCE
        leads = knows and member.id == group.leader
        answer = JoinGroupResponse(
            generation_id=group.generation,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol,
            leader=(group.leader or "") if knows else leader_before,
            skip_assignment=leads,
            member_id=member.id,
            members=listed(group) if leads else (),
        )
        self._shard.reply(*parked, answer)


def _protocols(request: JoinGroupRequest) -> Protocols:
    return tuple((protocol.name, protocol.metadata) for protocol in request.protocols)


def _timeouts(request: JoinGroupRequest) -> tuple[int, int]:
    """Of the rebalance and of the session; an old client has but one."""
    session = request.session_timeout_ms
    return (session if request.rebalance_timeout_ms < 0 else request.rebalance_timeout_ms, session)
