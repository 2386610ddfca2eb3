"""Members of a consumer group that speak the classic protocol, while it migrates (Kafka: ``GroupMetadataManager``).

They join, sync and beat as ever. What they get is decided as for the others; their generation is their member epoch, no
one leads, and a heartbeat tells them to join again when there is something to give up or to take.
"""

from __future__ import annotations

import attrs

from kafsim.coordinator.classic_group import HOST, Parked
from kafsim.coordinator.consumer_group import ClassicMember, ConsumerGroup, ConsumerGroupMember, MemberState
from kafsim.coordinator.consumer_group_manager import JOIN, SYNC, ConsumerGroupManager, static_member
from kafsim.coordinator.group_metadata_manager import refused_join
from kafsim.coordinator.group_migration import GroupMigration, blob_of
from kafsim.coordinator.member_update import MemberUpdate
from kafsim.coordinator.records import CoordinatorRecord
from kafsim.coordinator.refusal import Refused
from kafsim.coordinator.regexes import RegexStatus
from kafsim.coordinator.shard import GroupShard
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import PROTOCOL_TYPE, decode_subscription
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.messages.consumer_protocol import ConsumerProtocolSubscription
from kafsim.protocol.messages.heartbeat import HeartbeatRequest
from kafsim.protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity, MemberResponse
from kafsim.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from kafsim.protocol.types import Micros
from kafsim.protocol.uuid import Uuid, to_text
from kafsim.protocol.wire.primitives import WireError

MEMBER_ID_SINCE = 4
NO_PARTITIONS: frozenset[int] = frozenset()


class ClassicMembers:
    """Of the consumer groups of one shard."""

    def __init__(
        self, shard: GroupShard, topics: Topics, consumers: ConsumerGroupManager, migration: GroupMigration
    ) -> None:
        self._shard = shard
        self._topics = topics
        self._consumers = consumers
        self._migration = migration

    # -------------------------------------------------------------------------------- join

    def join(self, now: Micros, parked: Parked, request: JoinGroupRequest, group: ConsumerGroup) -> None:
        """Answered when it is committed; Refused."""
        if self._shard.settings["group.consumer.migration.policy"] == "disabled":
            raise Refused(errors.INCONSISTENT_GROUP_PROTOCOL, why=because(facts.NO_MIGRATION))
        id_ = request.member_id or to_text(self._shard.given.entropy.uuid())
        self._consumers.check_size(group, id_, request.group_instance_id)
        names = [protocol.name for protocol in request.protocols]
        if request.protocol_type != PROTOCOL_TYPE or not names or not group.supports(names):
            raise Refused(errors.INCONSISTENT_GROUP_PROTOCOL, why=because(facts.OTHER_PROTOCOL))
        if not request.member_id and request.group_instance_id is None and parked.header.version >= MEMBER_ID_SINCE:
            self._shard.reply(*parked, refused_join(parked.header, errors.MEMBER_ID_REQUIRED, id_))
            return
        records: list[CoordinatorRecord] = []
        replaced = None
        if request.group_instance_id is not None:
            replaced = static_member(group, request.group_instance_id)
        update = self._find(now, group, request, id_, records)
        subscription = _subscription(request)
        names_changed = update.subscribe(_told(update.old, request, parked, subscription))
        self._consumers.note_new(group, update)
        regex = self._consumers.regexes.update(now, group, update.old, update.new, records, is_known=update.is_known)
        update.look_at_topics(names_changed, RegexStatus.SAME if regex is RegexStatus.SAME else RegexStatus.RESOLVED)
        claimed = self._claimed(subscription)
        if replaced is not None and self._is_last(group, replaced):
            self._downgrade(now, parked, group, update, replaced.id, claimed)
            return
        update.retarget()
        update.reconcile(claimed)
        response = _joined(update.new)

        def then(at: Micros, error: int) -> None:
            if error:
                self._shard.reply(*parked, refused_join(parked.header, error, ""))
                return
            self._shard.timers.cancel((JOIN, group.id, id_))
            self._consumers.renew_classic_session(at, group.id, id_, request.session_timeout_ms)
            self._watch(at, SYNC, group.id, id_, request.rebalance_timeout_ms)
            self._shard.reply(*parked, response)

        self._consumers.write(now, group.id, records, update.told, then, looked_at=update.looked_at)

    def _find(
        self,
        now: Micros,
        group: ConsumerGroup,
        request: JoinGroupRequest,
        id_: str,
        records: list[CoordinatorRecord],
    ) -> MemberUpdate:
        instance, replaces = request.group_instance_id, None
        found = group.members.get(id_)
        if instance is not None and request.member_id:
            self._consumers.check_static(group, id_, instance)
        elif instance is not None and (owner := static_member(group, instance)) is not None:
            replaces = owner.id
            found = self._consumers.replace(group, owner, id_, records)
        member = found or ConsumerGroupMember(id=id_)
        return MemberUpdate(self._shard, self._topics, now, group, member, records, replaces)

    def _claimed(self, subscription: ConsumerProtocolSubscription) -> dict[Uuid, frozenset[int]]:
        found: dict[Uuid, frozenset[int]] = {}
        for topic in subscription.owned_partitions:
            id_ = self._topics.id_of(topic.topic)
            if id_ is not None:
                found[id_] = found.get(id_, NO_PARTITIONS) | frozenset(topic.partitions)
        return found

    def _is_last(self, group: ConsumerGroup, member: ConsumerGroupMember) -> bool:
        """Is it the only member of the consumer protocol, and may the group be a classic one without it?"""
        policy, most = (self._shard.settings[n] for n in ("group.consumer.migration.policy", "group.max.size"))
        rest = len(group.members) - 1
        allowed = policy in ("bidirectional", "downgrade") and len(group.members) <= most
        return not member.is_classic and group.classic_members == rest and allowed

    def _downgrade(
        self,
        now: Micros,
        parked: Parked,
        group: ConsumerGroup,
        update: MemberUpdate,
        replaced: str,
        claimed: dict[Uuid, frozenset[int]],
    ) -> None:
        rebalances = group.assignment_epoch < update.epoch
        if not rebalances:
            update.retarget()
            update.reconcile(claimed)
        response = _joined(update.new)

        def then(_: Micros, error: int) -> None:
            self._shard.reply(*parked, refused_join(parked.header, error, "") if error else response)

        self._migration.downgrade_by(
            now, group, update.new, replaced, update.records, update.told, then, rebalances=rebalances
        )

    # -------------------------------------------------------------------------------- sync

    def sync(self, now: Micros, parked: Parked, request: SyncGroupRequest, group: ConsumerGroup) -> None:
        """What it has is the answer; Refused."""
        member = self._member(group, request.member_id, request.group_instance_id)
        _check_generation(member, request.generation_id)
        assert member.classic is not None, "it speaks the classic protocol"
        name = member.classic.protocols[0][0]
        if request.protocol_type not in (None, PROTOCOL_TYPE) or request.protocol_name not in (None, name):
            raise Refused(errors.INCONSISTENT_GROUP_PROTOCOL, why=because(facts.OTHER_PROTOCOL))
        if group.assignment_epoch > member.epoch and member.state is not MemberState.UNREVOKED_PARTITIONS:
            self._ask_to_join(now, group, member)
            why = because(facts.NEW_TARGET, current=member.epoch, target=group.assignment_epoch)
            raise Refused(errors.REBALANCE_IN_PROGRESS, why=why)
        response = SyncGroupResponse(
            protocol_type=request.protocol_type,
            protocol_name=request.protocol_name,
            assignment=self._assignment(member, member.classic.protocols[0][1]),
        )
        session_ms = member.classic.session_ms

        def then(at: Micros, error: int) -> None:
            if error:
                self._shard.reply(*parked, SyncGroupResponse(error_code=error))
                return
            self._shard.timers.cancel((SYNC, group.id, member.id))
            self._consumers.renew_classic_session(at, group.id, member.id, session_ms)
            self._shard.reply(*parked, response)

        self._shard.write(now, [], then)

    def _assignment(self, member: ConsumerGroupMember, metadata: bytes) -> bytes:
        """In the version of its first subscription, which nobody has read if another protocol was chosen then."""
        try:
            return blob_of(self._topics, member.assigned, metadata)
        except WireError:
            raise Refused(errors.UNKNOWN_SERVER_ERROR) from None

    def _member(self, group: ConsumerGroup, id_: str, instance: str | None) -> ConsumerGroupMember:
        if instance is not None:
            owner = static_member(group, instance)
            if owner is None:
                raise Refused(errors.UNKNOWN_MEMBER_ID, why=because(facts.UNKNOWN_INSTANCE, instance=instance))
            if owner.id != id_:
                why = because(facts.FENCED, instance=instance, owner=owner.id)
                raise Refused(errors.FENCED_INSTANCE_ID, why=why)
        member = group.members.get(id_)
        if member is None or not member.is_classic:
            raise Refused(errors.UNKNOWN_MEMBER_ID, why=because(facts.UNKNOWN))
        return member

    # --------------------------------------------------------------------------- heartbeat

    def heartbeat(self, now: Micros, request: HeartbeatRequest, group: ConsumerGroup) -> int:
        """NONE, or REBALANCE_IN_PROGRESS when it should join again; Refused."""
        member = self._member(group, request.member_id, request.group_instance_id)
        _check_generation(member, request.generation_id)
        assert member.classic is not None, "it speaks the classic protocol"
        self._consumers.renew_classic_session(now, group.id, member.id, member.classic.session_ms)
        if not self._should_join(group, member):
            return errors.NONE
        self._ask_to_join(now, group, member)
        return errors.REBALANCE_IN_PROGRESS

    def _should_join(self, group: ConsumerGroup, member: ConsumerGroupMember) -> bool:
        if member.epoch < group.assignment_epoch or member.state is MemberState.UNREVOKED_PARTITIONS:
            return True
        if member.state is not MemberState.UNRELEASED_PARTITIONS:
            return False
        target = group.target_of(member.id)
        missing = ((t, p) for t, parts in target.items() for p in parts if p not in member.assigned.get(t, ()))
        return all(group.epoch_of(topic, p) == -1 for topic, p in missing)

    def _ask_to_join(self, now: Micros, group: ConsumerGroup, member: ConsumerGroupMember) -> None:
        if (JOIN, group.id, member.id) not in self._shard.timers:
            self._watch(now, JOIN, group.id, member.id, member.rebalance_ms)

    def _watch(self, now: Micros, kind: str, group_id: str, id_: str, ms: int) -> None:
        """It has so long to join, or to ask for its assignment."""
        rule = facts.NOT_REJOINED if kind == JOIN else facts.NOT_SYNCED
        self._consumers.watch(now, kind, group_id, id_, ms, because(rule, member=id_, timeout_ms=ms))

    # ------------------------------------------------------------------------------- leave

    def leave(
        self, now: Micros, request: LeaveGroupRequest, group: ConsumerGroup
    ) -> tuple[tuple[MemberResponse, ...], int]:
        """Members of either protocol."""
        answers = []
        gone: dict[str, None] = {}
        for one in request.members:
            id_, error = _leaving(group, one)
            answers.append(
                MemberResponse(member_id=one.member_id, group_instance_id=one.group_instance_id, error_code=error)
            )
            if not error:
                gone[id_] = None
        failed: list[int] = []
        if gone:
            first = next(one for one in request.members)
            name, reason = first.member_id or first.group_instance_id or "", first.reason or "not provided"
            why = because(facts.LEFT, member=name, reason=reason)
            try:
                self._consumers.remove(now, group, list(gone), why, lambda _, error: failed.append(error))
            except Refused as refused:
                failed.append(refused.code)
        return tuple(answers), failed[0] if failed else errors.NONE


def _leaving(group: ConsumerGroup, one: MemberIdentity) -> tuple[str, int]:
    id_ = one.member_id
    if one.group_instance_id is not None:
        owner = group.static.get(one.group_instance_id)
        if owner is None or owner not in group.members:
            return id_, errors.UNKNOWN_MEMBER_ID
        if id_ and owner != id_:
            return id_, errors.FENCED_INSTANCE_ID
        id_ = owner
    return id_, errors.NONE if id_ in group.members else errors.UNKNOWN_MEMBER_ID


def _check_generation(member: ConsumerGroupMember, given: int) -> None:
    if given != member.epoch:
        why = because(facts.MEMBER_GENERATION, given=given, current=member.epoch)
        raise Refused(errors.ILLEGAL_GENERATION, why=why)


def _subscription(request: JoinGroupRequest) -> ConsumerProtocolSubscription:
    try:
        return decode_subscription(request.protocols[0].metadata)
    except WireError:
        text = "Malformed embedded consumer protocol in subscription deserialization."
        raise Refused(errors.INCONSISTENT_GROUP_PROTOCOL, text) from None


def _told(
    old: ConsumerGroupMember, request: JoinGroupRequest, parked: Parked, subscription: ConsumerProtocolSubscription
) -> ConsumerGroupMember:
    instance = request.group_instance_id
    rebalance = request.rebalance_timeout_ms
    return attrs.evolve(
        old,
        instance=old.instance if instance is None else instance,
        rack=old.rack if subscription.rack_id is None else subscription.rack_id,
        rebalance_ms=old.rebalance_ms if rebalance < 0 else rebalance,
        client_id=parked.header.client_id or "",
        client_host=HOST,
        topics=tuple(sorted(set(subscription.topics))),
        regex="",
        classic=ClassicMember(request.session_timeout_ms, tuple((p.name, p.metadata) for p in request.protocols)),
    )


def _joined(member: ConsumerGroupMember) -> JoinGroupResponse:
    assert member.classic is not None, "it speaks the classic protocol"
    return JoinGroupResponse(
        generation_id=member.epoch,
        protocol_type=PROTOCOL_TYPE,
        protocol_name=member.classic.protocols[0][0],
        member_id=member.id,
    )
