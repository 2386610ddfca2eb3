"""Membership of classic groups: join, sync, heartbeat, leave (Kafka: ``GroupMetadataManager``).

Nothing is written when a rebalance begins or a generation is made: only the leader's assignment is, so that a new
coordinator knows the last generation that was assigned. Joins and syncs are answered when all have come together.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kafsim.coordinator.classic_group import (
    COMPLETING,
    DEAD,
    EMPTY,
    PREPARING,
    STABLE,
    ClassicGroup,
    Member,
    Parked,
)
from kafsim.coordinator.records import group_record
from kafsim.coordinator.refusal import tell_refused, why_invalid
from kafsim.coordinator.shard import GroupShard
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import decode_partitions
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.messages.heartbeat import HeartbeatRequest
from kafsim.protocol.messages.join_group import JoinGroupResponse, JoinGroupResponseMember
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity, MemberResponse
from kafsim.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from kafsim.protocol.types import Header, Micros, millis
from kafsim.protocol.wire.primitives import WireError

NEW_MEMBER_JOIN_MS = 300_000
"""How long one who has just joined waits for the others at most."""
LEAST_WAIT_MS = 1
"""Whoever waits for a static member looks again and again, as Kafka's timer does, but not in the same moment."""
NULL_PROTOCOL_SINCE = 7


class GroupMetadataManager:
    """The groups of one shard."""

    def __init__(self, shard: GroupShard) -> None:
        self._shard = shard
        self._settings = shard.settings
        self._not_emptied: int = errors.NONE
        """The error of the last write of a group that has become empty."""
        shard.on_loaded.append(self._on_loaded)
        shard.on_closing.append(self._on_closing)

    def _groups(self) -> list[ClassicGroup]:
        return [group for group in self._shard.groups.values() if isinstance(group, ClassicGroup)]

    def _on_loaded(self, now: Micros) -> None:
        for group in self._groups():
            loaded = facts.ClassicGroupLoaded(
                group=group.id,
                leader_epoch=self._shard.leader_epoch,
                generation=group.generation,
                members=len(group.members),
            )
            self._shard.outbox.happened(loaded)
            for id_ in group.in_order():
                self.renew_session(now, group, group.members[id_])
            if len(group.members) > self._settings["group.max.size"]:
                why = because(facts.TOO_LARGE, most=self._settings["group.max.size"])
                self.prepare(now, group, why)

    def _on_closing(self, now: Micros) -> None:
        for group in self._groups():
            state = group.state
            self._to(now, group, DEAD, because(facts.RESIGNED))
            for id_ in group.in_order():
                member = group.members[id_]
                if state == PREPARING:
                    self.answer_join(member, errors.NOT_COORDINATOR, member.id)
                elif state in (COMPLETING, STABLE):
                    self.answer_sync(group, member, errors.NOT_COORDINATOR)

    # --------------------------------------------------------------------------- rebalance

    def prepare_or_complete(self, now: Micros, group: ClassicGroup, why: Because) -> None:
        if group.state == PREPARING:
            self.maybe_complete(now, group)
        else:
            self.prepare(now, group, why)

    def release(self, now: Micros, group: ClassicGroup, error: int) -> None:
        """Nobody waits any more."""
        for id_ in group.in_order():
            member = group.members[id_]
            self.answer_join(member, error, id_)
            if member.sync is not None:
                self.answer_sync(group, member, error)
                self.renew_session(now, group, member)

    def maybe_complete(self, now: Micros, group: ClassicGroup) -> None:
        """All have joined; an initial delay runs to its end even so."""
        if group.state == PREPARING and group.previous != EMPTY and group.has_all_joined:
            self._complete(now, group, because(facts.ALL_JOINED, members=len(group.members)))

    def prepare(self, now: Micros, group: ClassicGroup, why: Because) -> None:
        is_initial = group.state == EMPTY
        if group.state == COMPLETING:
            for id_ in group.in_order():
                member = group.members[id_]
                member.assignment = b""
                if member.sync is not None:
                    self.answer_sync(group, member, errors.REBALANCE_IN_PROGRESS)
                    self.renew_session(now, group, member)
        group.unsynced.clear()
        self._shard.timers.cancel(("sync", group.id))
        self._to(now, group, PREPARING, why)
        if is_initial:
            delay = self._settings["group.initial.rebalance.delay.ms"]
            self._delay(now, group.id, delay, max(group.rebalance_ms - delay, 0))
        elif group.has_all_joined:
            self._complete(now, group, because(facts.ALL_JOINED, members=len(group.members)))
        else:
            self._wait_for_joins(now, group)

    def _delay(self, now: Micros, group_id: str, delay: int, left: int) -> None:
        at = Micros(now + millis(delay))
        self._shard.timers.set(("join", group_id), at, lambda at: self._delay_over(at, group_id, delay, left))

    def _delay_over(self, now: Micros, group_id: str, delay: int, left: int) -> None:
        """Once more, as long as somebody came meanwhile and there is time left."""
        group = self._shard.classic(group_id)
        if group is None or group.state != PREPARING:
            return
        if group.newly_added and left:
            group.newly_added = False
            more = min(self._settings["group.initial.rebalance.delay.ms"], left)
            self._delay(now, group_id, more, max(left - delay, 0))
        else:
            self._complete(now, group, because(facts.DELAY_OVER, members=group.waiting_to_join))

    def _wait_for_joins(self, now: Micros, group: ClassicGroup) -> None:
        at, id_ = Micros(now + millis(max(group.rebalance_ms, LEAST_WAIT_MS))), group.id

        def over(at: Micros) -> None:
            found = self._shard.classic(id_)
            if found is not None and found.state == PREPARING:
                why = because(facts.TIME_OVER, timeout_ms=found.rebalance_ms, members=found.waiting_to_join)
                self._complete(at, found, why)

        self._shard.timers.set(("join", id_), at, over)

    def _complete(self, now: Micros, group: ClassicGroup, why: Because) -> None:
        """A new generation of those who have joined, and of static members that may come back yet."""
        self._shard.timers.cancel(("join", group.id))
        timeout = group.rebalance_ms
        for id_ in group.in_order():
            member = group.members[id_]
            if member.join is None and member.instance is None:
                self._remove(group, id_, because(facts.NOT_REJOINED, member=id_, timeout_ms=timeout))
        if group.state == DEAD:
            return
        if not group.elect_joined_leader() and group.members:
            self._wait_for_joins(now, group)
            return
        was = group.state
        group.begin_generation(self._shard.wall_ms(now))
        self._tell(group, was, why if group.members else because(facts.EMPTIED))
        if group.members:
            self._begin_sync(now, group)
        else:
            self._shard.write(now, [group_record(group, {})], partial(self._emptied, group), replay=False)

    def _emptied(self, group: ClassicGroup, now: Micros, error: int) -> None:
        """Whoever has left is told if that could not be written."""
        self._not_emptied = error
        if error:
            self._shard.undone[group.id] = None

    def _begin_sync(self, now: Micros, group: ClassicGroup) -> None:
        for id_ in group.in_order():
            member = group.members[id_]
            if member.join is not None:
                self.reply_join(member.join, group, member)
                member.join = None
            self.renew_session(now, group, member)
            member.is_new = False
            group.unsynced[id_] = None
        generation, group_id = group.generation, group.id
        at = Micros(now + millis(group.rebalance_ms))
        self._shard.timers.set(("sync", group_id), at, lambda at: self._sync_over(at, group_id, generation))

    def _sync_over(self, now: Micros, group_id: str, generation: int) -> None:
        group = self._shard.classic(group_id)
        if group is None or group.generation != generation or group.state not in (COMPLETING, STABLE):
            return
        late, timeout = list(group.unsynced), group.rebalance_ms
        for id_ in late:
            self._remove(group, id_, because(facts.NOT_SYNCED, member=id_, timeout_ms=timeout))
        if late:
            self.prepare(now, group, because(facts.NOT_SYNCED, member=", ".join(late), timeout_ms=timeout))

    # -------------------------------------------------------------------------------- sync

    def sync(self, now: Micros, parked: Parked, request: SyncGroupRequest) -> None:
        group = self._shard.classic(request.group_id)
        error = self._check_sync(group, request)
        if error or group is None:
            self._tell_refused("SyncGroup", request, error)
            self._shard.reply(*parked, SyncGroupResponse(error_code=error))
            return
        member = group.members[request.member_id]
        group.unsynced.pop(member.id, None)
        if not group.unsynced:
            self._shard.timers.cancel(("sync", group.id))
        if group.state == STABLE:
            self._shard.reply(*parked, _synced(group, member, errors.NONE))
            return
        member.sync = parked
        if member.id == group.leader:
            self._store(now, group, {one.member_id: one.assignment for one in request.assignments})

    def _check_sync(self, group: ClassicGroup | None, request: SyncGroupRequest) -> int:
        if group is None or group.state == EMPTY:
            return errors.UNKNOWN_MEMBER_ID
        error = group.validate(request.member_id, request.group_instance_id)
        if error:
            return error
        if request.generation_id != group.generation:
            return errors.ILLEGAL_GENERATION
        asked, has = (request.protocol_type, request.protocol_name), (group.protocol_type, group.protocol)
        if any(a is not None and h is not None and a != h for a, h in zip(asked, has, strict=True)):
            return errors.INCONSISTENT_GROUP_PROTOCOL
        return errors.REBALANCE_IN_PROGRESS if group.state == PREPARING else errors.NONE

    def _store(self, now: Micros, group: ClassicGroup, given: dict[str, bytes]) -> None:
        """The leader's assignment: everybody has it once it is committed, if no rebalance came between."""
        assignments = {id_: given.get(id_, b"") for id_ in group.members}
        generation = group.generation

        def then(at: Micros, error: int) -> None:
            is_here = self._shard.classic(group.id) is group  # else it is a group of the other protocol by now
            if is_here and group.state == COMPLETING and group.generation == generation:
                self._propagate(at, group, {} if error else assignments, error)

        self._shard.write(now, [group_record(group, assignments)], then, replay=False)

    def _propagate(self, now: Micros, group: ClassicGroup, assignments: dict[str, bytes], error: int) -> None:
        for id_ in group.in_order():
            member = group.members[id_]
            member.assignment = assignments.get(id_, b"")
            if member.sync is not None:
                self.answer_sync(group, member, error)
                self.renew_session(now, group, member)
        if error:
            self.prepare_or_complete(now, group, because(facts.ASSIGNMENT_LOST, error=errors.name(error)))
            return
        self._shard.outbox.happened(
            facts.AssignmentStored(
                group=group.id,
                generation=group.generation,
                protocol=group.protocol or "",
                leader=group.leader or "",
                assigned=tuple((id_, _partitions(assignments[id_])) for id_ in group.in_order()),
            )
        )
        self._to(now, group, STABLE, because(facts.ASSIGNED, leader=group.leader))

    # --------------------------------------------------------------------------- heartbeat

    def heartbeat(self, now: Micros, request: HeartbeatRequest) -> int:
        group = self._shard.classic(request.group_id)
        error = self._check_heartbeat(group, request)
        if group is not None and error in (errors.NONE, errors.REBALANCE_IN_PROGRESS):
            self.renew_session(now, group, group.members[request.member_id])
        elif error:
            self._tell_refused("Heartbeat", request, error)
        return error

    def _check_heartbeat(self, group: ClassicGroup | None, request: HeartbeatRequest) -> int:
        if group is None:
            return errors.UNKNOWN_MEMBER_ID
        error = group.validate(request.member_id, request.group_instance_id)
        if error:
            return error
        if request.generation_id != group.generation:
            return errors.ILLEGAL_GENERATION
        return errors.REBALANCE_IN_PROGRESS if group.state == PREPARING else errors.NONE

    def renew_session(self, now: Micros, group: ClassicGroup, member: Member) -> None:
        self.set_session(now, group, member, member.session_ms)

    def set_session(self, now: Micros, group: ClassicGroup, member: Member, ms: int) -> None:
        """Nothing need be heard of it for so long."""
        self.wait_for(now, group, member.id, ms)

    def wait_for(self, now: Micros, group: ClassicGroup, id_: str, ms: int) -> None:
        """For a member, or for one that has been given an id to join with."""
        over = partial(self._session_over, group.id, id_)
        self._shard.timers.set(self._session(group, id_), Micros(now + millis(ms)), over)

    def _session(self, group: ClassicGroup, member: str) -> tuple[str, str, str]:
        return ("session", group.id, member)

    def _session_over(self, group_id: str, id_: str, now: Micros) -> None:
        group = self._shard.classic(group_id)
        if group is None:
            return
        if id_ in group.pending:
            del group.pending[id_]
            if group.state == PREPARING and group.has_all_joined:
                self._complete(now, group, because(facts.ALL_JOINED, members=len(group.members)))
            return
        member = group.members.get(id_)
        if member is None or (not member.is_new and (member.join or member.sync)):
            return  # who waits for the others is not silent
        rule, timeout = (
            (facts.JOIN_OVER, NEW_MEMBER_JOIN_MS) if member.is_new else (facts.SESSION_OVER, member.session_ms)
        )
        why = because(rule, member=id_, timeout_ms=timeout)
        self.answer_join(member, errors.UNKNOWN_MEMBER_ID, "")
        self._remove(group, id_, why)
        if group.state in (STABLE, COMPLETING):
            self.prepare(now, group, why)
        elif group.state == PREPARING and group.has_all_joined:
            self._complete(now, group, because(facts.ALL_JOINED, members=len(group.members)))

    # ------------------------------------------------------------------------------- leave

    def leave(self, now: Micros, request: LeaveGroupRequest) -> tuple[tuple[MemberResponse, ...], int]:
        """What comes of each, and the error if it could not be written; the answer waits for what this writes."""
        self._not_emptied = errors.NONE
        group = self._shard.classic(request.group_id)
        answers = []
        left = []
        for one in request.members:
            error = errors.UNKNOWN_MEMBER_ID if group is None else self._leave(group, one)
            answers.append(
                MemberResponse(member_id=one.member_id, group_instance_id=one.group_instance_id, error_code=error)
            )
            if not error:
                left.append(one)
        if left and group is not None:
            why = because(facts.LEFT, member=_named(left[0]), reason=left[0].reason or "not provided")
            if group.state in (STABLE, COMPLETING):
                self.prepare(now, group, why)
            else:
                self.maybe_complete(now, group)
        return tuple(answers), self._not_emptied

    def _leave(self, group: ClassicGroup, one: MemberIdentity) -> int:
        id_ = one.member_id
        if not id_:
            id_ = group.static.get(one.group_instance_id or "", "")
            if not id_:
                return errors.UNKNOWN_MEMBER_ID
        elif id_ not in group.pending:
            error = group.validate(id_, one.group_instance_id)
            if error:
                return error
        member = group.members.get(id_)
        if member is not None:
            self.answer_join(member, errors.UNKNOWN_MEMBER_ID, "")
        self._remove(group, id_, because(facts.LEFT, member=id_, reason=one.reason or "not provided"))
        return errors.NONE

    def _remove(self, group: ClassicGroup, id_: str, why: Because) -> None:
        self._shard.timers.cancel(self._session(group, id_))
        if group.remove(id_) is not None:
            self._shard.outbox.happened(facts.MemberRemoved(group=group.id, member=id_, because=why))

    # ----------------------------------------------------------------------------- answers

    def _to(self, now: Micros, group: ClassicGroup, state: str, why: Because) -> None:
        was = group.state
        group.to(state, self._shard.wall_ms(now))
        self._tell(group, was, why)

    def _tell(self, group: ClassicGroup, was: str, why: Because) -> None:
        self._shard.outbox.happened(
            facts.GroupStateChanged(
                group=group.id, state=group.state, was=was, generation=group.generation, because=why
            )
        )

    def _tell_refused(self, name: str, request: SyncGroupRequest | HeartbeatRequest, error: int) -> None:
        group = self._shard.classic(request.group_id)
        if group is None:
            why = because(facts.NO_GROUP)
        elif error == errors.ILLEGAL_GENERATION:
            why = because(facts.MEMBER_GENERATION, given=request.generation_id, current=group.generation)
        elif error == errors.REBALANCE_IN_PROGRESS:
            why = because(facts.REBALANCING, generation=group.generation)
        elif error == errors.INCONSISTENT_GROUP_PROTOCOL:
            why = because(facts.OTHER_PROTOCOL)
        else:
            why = why_invalid(group, request.group_instance_id, error)
        tell_refused(self._shard.outbox, request.group_id, request.member_id, name, error, why)

    def refuse_join(self, parked: Parked, error: int, member_id: str) -> None:
        self._shard.reply(*parked, refused_join(parked.header, error, member_id))

    def answer_join(self, member: Member, error: int, member_id: str) -> None:
        if member.join is not None:
            self.refuse_join(member.join, error, member_id)
            member.join = None

    def reply_join(self, parked: Parked, group: ClassicGroup, member: Member) -> None:
        answer = JoinGroupResponse(
            generation_id=group.generation,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol,
            leader=group.leader or "",
            member_id=member.id,
            members=listed(group) if member.id == group.leader else (),
        )
        self._shard.reply(*parked, answer)

    def answer_sync(self, group: ClassicGroup, member: Member, error: int) -> None:
        if member.sync is not None:
            self._shard.reply(*member.sync, _synced(group, member, error))
            member.sync = None


def listed(group: ClassicGroup) -> tuple[JoinGroupResponseMember, ...]:
    protocol = group.protocol or ""
    members = [group.members[id_] for id_ in group.in_order()]
    return tuple(
        JoinGroupResponseMember(member_id=m.id, group_instance_id=m.instance, metadata=m.metadata(protocol))
        for m in members
    )


def refused_join(header: Header, error: int, member_id: str) -> JoinGroupResponse:
    name = None if header.version >= NULL_PROTOCOL_SINCE else ""
    return JoinGroupResponse(error_code=error, protocol_name=name, member_id=member_id)


def _synced(group: ClassicGroup, member: Member, error: int) -> Any:
    if error:
        return SyncGroupResponse(error_code=error)
    return SyncGroupResponse(
        protocol_type=group.protocol_type, protocol_name=group.protocol, assignment=member.assignment
    )


def _partitions(assignment: bytes) -> tuple[str, ...]:
    try:
        return tuple(map(str, decode_partitions(assignment)))
    except WireError:
        return ()


def _named(one: MemberIdentity) -> str:
    return one.member_id or one.group_instance_id or ""
