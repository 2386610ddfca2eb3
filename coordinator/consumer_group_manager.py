"""Members of groups of the consumer protocol: heartbeat, leave, silence (KIP-848; Kafka: ``GroupMetadataManager``).

A heartbeat may do everything at once: join, change the subscription, make the group look at its topics again, have the
target assignment made, and bring its member one step towards it. Nothing of that happens without a heartbeat, except
that a member is removed that is silent, or does not give up what it has to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import attrs

from kafsim.coordinator.classic_group import EMPTY, HOST, STABLE, ClassicGroup, Parked
from kafsim.coordinator.consumer_group import (
    ASSIGNING,
    JOINS,
    LEFT_FOR_A_WHILE,
    LEFT_FOR_GOOD,
    ConsumerGroup,
    ConsumerGroupMember,
    MemberState,
    Owned,
)
from kafsim.coordinator.consumer_group_records import (
    current_record,
    epoch_record,
    member_record,
    regex_tombstone,
    removal_records,
    target_record,
)
from kafsim.coordinator.group_migration import GroupMigration
from kafsim.coordinator.member_update import MemberUpdate, reconciled
from kafsim.coordinator.records import CoordinatorRecord, group_tombstone
from kafsim.coordinator.refusal import Refused, no_consumer_group, tell_refused, unknown_member
from kafsim.coordinator.regexes import Regexes
from kafsim.coordinator.shard import GroupShard, Then
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import DECISION, Because, because
from kafsim.protocol.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from kafsim.protocol.types import Micros, millis
from kafsim.protocol.uuid import Uuid, to_text

RETRY_MS = 500
SESSION, REVOCATION, JOIN, SYNC = "member-session", "revocation", "member-join", "member-sync"
"""Timers of a member; one that speaks the classic protocol has the last two in place of the second."""
_NO_GROUP = because(facts.NO_GROUP)
ABANDON = "The member must abandon all its partitions and rejoin."
Reply = Callable[[Micros, ConsumerGroupHeartbeatResponse], None]


class ConsumerGroupManager:
    """The groups of the consumer protocol of one shard."""

    def __init__(self, shard: GroupShard, topics: Topics, migration: GroupMigration) -> None:
        self._shard = shard
        self._topics = topics
        self._settings = shard.settings
        self._migration = migration
        self.regexes = Regexes(shard, topics, self._note_resolved)

    def on_loaded(self, now: Micros) -> None:
        for group in self._shard.groups.values():
            if isinstance(group, ConsumerGroup):
                self._begin(now, group)

    def _begin(self, now: Micros, group: ConsumerGroup) -> None:
        """Every member has its whole time again."""
        why = because(facts.RELOADED)
        self._shard.outbox.happened(
            facts.ConsumerGroupLoaded(
                group=group.id,
                leader_epoch=self._shard.leader_epoch,
                epoch=group.epoch,
                target_epoch=group.assignment_epoch,
                members=len(group.members),
            )
        )
        for id_ in group.in_order():
            member = group.members[id_]
            self._renew_session(now, group.id, id_)
            self._watch_revocation(now, group.id, member)
            if self._shard.outbox.heard >= DECISION:
                self._shard.outbox.happened(reconciled(self._topics, group.id, member, why))

    @property
    def session_ms(self) -> int:
        return int(self._settings["group.consumer.session.timeout.ms"])

    # --------------------------------------------------------------------------- heartbeat

    def heartbeat(self, now: Micros, parked: Parked, request: ConsumerGroupHeartbeatRequest, reply: Reply) -> None:
        """Answered when what it decided is committed; a refusal at once."""
        try:
            if request.member_epoch in (LEFT_FOR_GOOD, LEFT_FOR_A_WHILE):
                self._leave(now, request, reply)
            else:
                self._beat(now, parked, request, reply)
        except Refused as refused:
            id_, name = request.member_id, "ConsumerGroupHeartbeat"
            tell_refused(self._shard.outbox, request.group_id, id_, name, refused.code, refused.why)
            reply(now, ConsumerGroupHeartbeatResponse(error_code=refused.code, error_message=refused.message))

    def _beat(self, now: Micros, parked: Parked, request: ConsumerGroupHeartbeatRequest, reply: Reply) -> None:
        records: list[CoordinatorRecord] = []
        group = self._group_for(now, request, records)
        self.check_size(group, request.member_id, request.instance_id)
        id_ = request.member_id or to_text(self._shard.given.entropy.uuid())
        update = self._find_member(now, group, request, id_, records)
        names_changed = update.subscribe(_told(update.old, request, parked))
        self.note_new(group, update)
        regex = self.regexes.update(now, group, update.old, update.new, records, is_known=update.is_known)
        update.look_at_topics(names_changed, regex)
        update.retarget()
        claimed: dict[Uuid, frozenset[int]] | None = None
        if request.topic_partitions is not None:
            claimed = {one.topic_id: frozenset(one.partitions) for one in request.topic_partitions}
        moved = update.reconcile(claimed)
        if moved:
            self._watch_revocation(now, group.id, update.new)
        self._renew_session(now, group.id, id_)
        shows = request.member_epoch == JOINS or _is_full(request) or update.new.assigned != update.old.assigned
        response = self._answer(update.new, update.new.assigned if shows else None)

        def then(at: Micros, error: int) -> None:
            reply(at, ConsumerGroupHeartbeatResponse(error_code=error) if error else response)

        before = self._shard.classic(group.id)
        first = [fact for fact in update.told[:1] if isinstance(fact, facts.MemberAdded)]
        told = [*first, *self._told_of_upgrade(before, group, update.new.id), *update.told[len(first) :]]
        if self.write(now, group.id, records, told, then, looked_at=update.looked_at):
            self._after_upgrade(now, before, group, update.new.id)

    def note_new(self, group: ConsumerGroup, update: MemberUpdate) -> None:
        new = update.new
        if update.replaces is not None:
            why = because(facts.REPLACED, member=new.id, instance=new.instance, old=update.replaces)
            update.told.append(facts.MemberRemoved(group=group.id, member=update.replaces, because=why))
        if new.id not in group.members:
            added = facts.MemberAdded(group=group.id, member=new.id, instance=new.instance, client=new.client_id)
            update.told.append(added)

    def _told_of_upgrade(self, before: ClassicGroup | None, group: ConsumerGroup, by: str) -> list[object]:
        if before is None or before.is_simple:
            return []
        why = because(facts.MIGRATED, member=by, protocol="consumer")
        converted = facts.GroupConverted(
            group=group.id, type="consumer", epoch=group.epoch, members=tuple(group.members), because=why
        )
        return [converted, *(reconciled(self._topics, group.id, one, why) for one in group.members.values())]

    def _after_upgrade(self, now: Micros, before: ClassicGroup | None, group: ConsumerGroup, by: str) -> None:
        """The members that the group had are its members still; the one that came has its session already."""
        if before is not None and before.members:
            self._migration.upgraded(before)
            for member in group.members.values():
                assert member.classic is not None, "it was a classic group"
                if member.id != by:
                    self.renew_classic_session(now, group.id, member.id, member.classic.session_ms)

    def _answer(self, member: ConsumerGroupMember, assigned: Owned | None) -> ConsumerGroupHeartbeatResponse:
        topics = () if assigned is None else assigned.items()
        assignment = Assignment(
            topic_partitions=tuple(TopicPartitions(topic_id=t, partitions=tuple(sorted(parts))) for t, parts in topics)
        )
        return ConsumerGroupHeartbeatResponse(
            member_id=member.id,
            member_epoch=member.epoch,
            heartbeat_interval_ms=self._settings["group.consumer.heartbeat.interval.ms"],
            assignment=None if assigned is None else assignment,
        )

    # ------------------------------------------------------------------------ who it is of

    def _group_for(
        self, now: Micros, request: ConsumerGroupHeartbeatRequest, records: list[CoordinatorRecord]
    ) -> ConsumerGroup:
        """The group; one that is made by this heartbeat is not in the table before its records are replayed."""
        found = self._shard.groups.get(request.group_id)
        if isinstance(found, ConsumerGroup):
            return found
        joins = request.member_epoch == JOINS
        if found is None and not joins:
            raise Refused(errors.GROUP_ID_NOT_FOUND, f"Consumer group {request.group_id} not found.", _NO_GROUP)
        if found is None:
            return self._shard.new_consumer_group(request.group_id)
        if not joins:
            raise no_consumer_group(found.id)
        if found.state == EMPTY:
            records.append(group_tombstone(found.id))
            return self._shard.new_consumer_group(found.id)
        return self._migration.upgrade(now, found, records)

    def check_size(self, group: ConsumerGroup, member_id: str, instance: str | None) -> None:
        """Refused with GROUP_MAX_SIZE_REACHED."""
        most = self._settings["group.consumer.max.size"]
        if instance is not None and instance in group.static:
            return
        if len(group.members) >= most and (not member_id or member_id not in group.members):
            text = f"The consumer group has reached its maximum capacity of {most} members."
            raise Refused(errors.GROUP_MAX_SIZE_REACHED, text, because(facts.FULL, most=most))

    def _find_member(
        self,
        now: Micros,
        group: ConsumerGroup,
        request: ConsumerGroupHeartbeatRequest,
        id_: str,
        records: list[CoordinatorRecord],
    ) -> MemberUpdate:
        instance = request.instance_id
        found = group.members.get(id_)
        replaces = None
        if instance is not None:
            owner = static_member(group, instance)
            if request.member_epoch == JOINS and owner is not None:
                found = self._take_over(group, owner, id_, instance, records)
                replaces = owner.id if owner.id != id_ else None
            elif request.member_epoch != JOINS:
                self.check_static(group, id_, instance)
        if found is None and request.member_epoch != JOINS:
            raise unknown_member(group.id, id_)
        if found is not None and replaces is None:
            _check_epoch(found, request)
        member = found or ConsumerGroupMember(id=id_)
        return MemberUpdate(self._shard, self._topics, now, group, member, records, replaces)

    def check_static(self, group: ConsumerGroup, id_: str, instance: str) -> None:
        """Refused when another member has the instance id, or nobody."""
        owner = static_member(group, instance)
        if owner is None:
            why = because(facts.UNKNOWN_INSTANCE, instance=instance)
            raise Refused(errors.UNKNOWN_MEMBER_ID, f"Instance id {instance} is unknown.", why)
        if owner.id != id_:
            text = f"Static member {id_} with instance id {instance} was fenced by member {owner.id}."
            raise Refused(errors.FENCED_INSTANCE_ID, text, because(facts.FENCED, instance=instance, owner=owner.id))

    def _take_over(
        self,
        group: ConsumerGroup,
        old: ConsumerGroupMember,
        id_: str,
        instance: str,
        records: list[CoordinatorRecord],
    ) -> ConsumerGroupMember:
        """A new process has the instance id of one that has left for a while, or that spoke the classic protocol."""
        if not old.is_classic and old.epoch != LEFT_FOR_A_WHILE:
            text = f"Static member {id_} with instance id {instance} cannot join the group because the instance id is "
            why = because(facts.UNRELEASED, instance=instance, owner=old.id)
            raise Refused(errors.UNRELEASED_INSTANCE_ID, f"{text}owned by {old.id} member.", why)
        return self.replace(group, old, id_, records)

    def replace(
        self, group: ConsumerGroup, old: ConsumerGroupMember, id_: str, records: list[CoordinatorRecord]
    ) -> ConsumerGroupMember:
        """The same member with another id, in epoch 0."""
        copy = attrs.evolve(old, id=id_, epoch=JOINS, previous_epoch=JOINS)
        records += removal_records(group.id, old.id)
        records.append(member_record(group.id, copy))
        records.append(target_record(group.id, id_, group.target_of(old.id)))
        records.append(current_record(group.id, copy))
        return copy

    # ------------------------------------------------------------------------------- leave

    def _leave(self, now: Micros, request: ConsumerGroupHeartbeatRequest, reply: Reply) -> None:
        group = self._shard.groups.get(request.group_id)
        if group is None:
            raise Refused(errors.GROUP_ID_NOT_FOUND, f"Group {request.group_id} not found.", _NO_GROUP)
        if isinstance(group, ClassicGroup):
            raise no_consumer_group(request.group_id)
        if request.instance_id is not None:
            self.check_static(group, request.member_id, request.instance_id)
        member = group.members.get(request.member_id)
        if member is None:
            raise unknown_member(group.id, request.member_id)
        response = ConsumerGroupHeartbeatResponse(member_id=member.id, member_epoch=request.member_epoch)

        def then(at: Micros, error: int) -> None:
            reply(at, ConsumerGroupHeartbeatResponse(error_code=error) if error else response)

        why = because(facts.LEFT_EPOCH, member=member.id, epoch=request.member_epoch)
        if request.member_epoch == LEFT_FOR_A_WHILE:
            self._leave_for_a_while(now, group, member, why, then)
        else:
            self.remove(now, group, [member.id], why, then)

    def _leave_for_a_while(
        self, now: Micros, group: ConsumerGroup, member: ConsumerGroupMember, why: Because, then: Then
    ) -> None:
        """A static member keeps what it has, and comes back within its session."""
        kept = {topic: dict.fromkeys(parts, 0) for topic, parts in member.assigned.items()}
        away = attrs.evolve(member, epoch=LEFT_FOR_A_WHILE, assigned=kept, pending={})
        told = [reconciled(self._topics, group.id, away, why)]
        self.write(now, group.id, [current_record(group.id, away)], told, then)

    def remove(
        self, now: Micros, group: ConsumerGroup, ids: Iterable[str], why: Because, then: Then = lambda *_: None
    ) -> None:
        """They are members no more; a group that only members of the classic protocol are left in becomes one."""
        gone = list(ids)
        told: list[object] = [facts.MemberRemoved(group=group.id, member=id_, because=why) for id_ in gone]
        if self._migration.may_downgrade(group, gone):
            self._migration.downgrade_after(now, group, gone, why, told, then)
            return
        for id_ in gone:
            for kind in (SESSION, REVOCATION, JOIN, SYNC):
                self._shard.timers.cancel((kind, group.id, id_))
        records = [record for id_ in gone for record in removal_records(group.id, id_)]
        left = [group.members[id_] for id_ in group.members if id_ not in gone]
        regexes = {member.regex for member in left}
        records += [regex_tombstone(group.id, one) for one in group.by_regex if one not in regexes]
        topics = dict.fromkeys(topic for member in left for topic in group.topics_of(member))
        records.append(epoch_record(group.id, group.epoch + 1, self._topics.hash_of(topics)))
        told.append(facts.GroupEpochBumped(group=group.id, epoch=group.epoch + 1, because=why))
        self.write(now, group.id, records, told, then)

    # ------------------------------------------------------------------------------ timers

    def _renew_session(self, now: Micros, group_id: str, id_: str) -> None:
        ms = self.session_ms
        self.watch(now, SESSION, group_id, id_, ms, because(facts.MEMBER_SESSION_OVER, member=id_, timeout_ms=ms))

    def renew_classic_session(self, now: Micros, group_id: str, id_: str, ms: int) -> None:
        """Of a member that speaks the classic protocol, which has a timeout of its own."""
        self.watch(now, SESSION, group_id, id_, ms, because(facts.SESSION_OVER, member=id_, timeout_ms=ms))

    def watch(
        self, now: Micros, kind: str, group_id: str, id_: str, ms: int, why: Because, epoch: int | None = None
    ) -> None:
        """A member is removed after this time, if it is in this epoch still."""
        over = partial(self._over, kind, group_id, id_, why, epoch)
        self._shard.timers.set((kind, group_id, id_), Micros(now + millis(ms)), over)

    def _over(self, kind: str, group_id: str, id_: str, why: Because, epoch: int | None, now: Micros) -> None:
        """A removal that fails is tried again soon."""
        group = self._shard.groups.get(group_id)
        member = group.members.get(id_) if isinstance(group, ConsumerGroup) else None
        if not isinstance(group, ConsumerGroup) or member is None or epoch not in (None, member.epoch):
            return

        def then(at: Micros, error: int) -> None:
            if error and self._shard.is_active and (kind, group_id, id_) not in self._shard.timers:
                self.watch(at, kind, group_id, id_, RETRY_MS, why, epoch)

        try:
            self.remove(now, group, [id_], why, then)
        except Refused as refused:
            then(now, refused.code)

    def _watch_revocation(self, now: Micros, group_id: str, member: ConsumerGroupMember) -> None:
        """A member that has to give something up has rebalance.timeout for it."""
        if member.state is not MemberState.UNREVOKED_PARTITIONS or member.is_classic:
            self._shard.timers.cancel((REVOCATION, group_id, member.id))
            return
        why = because(facts.NOT_REVOKED, member=member.id, timeout_ms=member.rebalance_ms)
        self.watch(now, REVOCATION, group_id, member.id, member.rebalance_ms, why, member.epoch)

    # ------------------------------------------------------------------------------- write

    def write(
        self,
        now: Micros,
        group_id: str,
        records: list[CoordinatorRecord],
        told: Sequence[object],
        then: Then,
        *,
        looked_at: int | None = None,
    ) -> bool:
        """``told`` is stated once the records are committed. False when they could not be appended."""
        before = self._state_of(group_id)
        if not self._shard.write(now, records, then):
            return False
        group = self._shard.groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            group.looked_at = group.looked_at if looked_at is None else looked_at
        if records:
            self._tell(group_id, before, told)
        return True

    def _state_of(self, group_id: str) -> str:
        group = self._shard.groups.get(group_id)
        return EMPTY if group is None else group.state

    def _tell(self, group_id: str, before: str, told: Sequence[object]) -> None:
        for fact in told:
            self._shard.tell_committed(fact)
        group = self._shard.groups.get(group_id)
        if isinstance(group, ConsumerGroup) and group.state != before:
            why, state = _why_in(group), group.state
            self._shard.tell_committed(
                facts.GroupStateChanged(group=group_id, state=state, was=before, generation=group.epoch, because=why)
            )

    def _note_resolved(
        self, now: Micros, group: ConsumerGroup, records: list[CoordinatorRecord], told: list[object]
    ) -> None:
        self.write(now, group.id, records, told, lambda *_: None)


def _why_in(group: ConsumerGroup) -> Because:
    """What its state follows from."""
    count, epoch = len(group.members), group.assignment_epoch
    if group.state == EMPTY:
        return because(facts.EMPTIED)
    if group.state == ASSIGNING:
        return because(facts.ASSIGNING, epoch=group.epoch, target=epoch)
    if group.state == STABLE:
        return because(facts.SETTLED, all=count, epoch=epoch)
    return because(facts.RECONCILING, members=count - group.settled_members, all=count, epoch=epoch)


def static_member(group: ConsumerGroup, instance: str) -> ConsumerGroupMember | None:
    """Who has the instance id. Refused when that one is gone, having taken another one meanwhile."""
    id_ = group.static.get(instance)
    if id_ is None:
        return None
    member = group.members.get(id_)
    if member is None:
        raise unknown_member(group.id, id_)
    return member


def _told(old: ConsumerGroupMember, request: ConsumerGroupHeartbeatRequest, parked: Parked) -> ConsumerGroupMember:
    """What the member says of itself now; what it does not say stays."""
    topics, regex = request.subscribed_topic_names, request.subscribed_topic_regex
    return attrs.evolve(
        old,
        instance=old.instance if request.instance_id is None else request.instance_id,
        rack=old.rack if request.rack_id is None else request.rack_id,
        rebalance_ms=old.rebalance_ms if request.rebalance_timeout_ms < 0 else request.rebalance_timeout_ms,
        client_id=parked.header.client_id or "",
        client_host=HOST,
        topics=old.topics if topics is None else tuple(sorted(set(topics))),
        regex=old.regex if regex is None else regex,
        assignor=old.assignor if request.server_assignor is None else request.server_assignor,
        classic=None,
    )


def _is_full(request: ConsumerGroupHeartbeatRequest) -> bool:
    """Does it say all that there is to say?"""
    subscribes = request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None
    return request.rebalance_timeout_ms >= 0 and subscribes and request.topic_partitions is not None


def _check_epoch(member: ConsumerGroupMember, request: ConsumerGroupHeartbeatRequest) -> None:
    """Refused with FENCED_MEMBER_EPOCH; one who has lost the last answer may be an epoch behind."""
    given = request.member_epoch
    if given in (JOINS, member.epoch):
        return
    word = "greater" if given > member.epoch else "smaller"
    if given == member.previous_epoch and given < member.epoch and request.topic_partitions is not None:
        owned = ((one.topic_id, p) for one in request.topic_partitions for p in one.partitions)
        if all(p in member.assigned.get(topic, ()) for topic, p in owned):
            return
    text = f"The consumer group member has a {word} member epoch ({given}) than the one known by the group coordinator"
    why = because(facts.MEMBER_EPOCH, given=given, current=member.epoch)
    raise Refused(errors.FENCED_MEMBER_EPOCH, f"{text} ({member.epoch}). {ABANDON}", why)
