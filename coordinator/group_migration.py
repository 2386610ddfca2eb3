"""Groups that change their protocol, with members or without (KIP-848; Kafka: ``GroupMetadataManager``).

Up: a member of the consumer protocol joins a classic group. Its members stay, each with what it was assigned, and go on
with the classic protocol inside of the consumer group. Down: the last member of the consumer protocol is gone, and only
such members are left; they rebalance at once. group.consumer.migration.policy says what is allowed. An empty group
changes freely, and keeps its offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafsim.controller.tables import UndoJournal
from kafsim.coordinator.classic_group import STABLE, ClassicGroup, Member
from kafsim.coordinator.consumer_group import (
    ClassicMember,
    ConsumerGroup,
    ConsumerGroupMember,
    Target,
)
from kafsim.coordinator.consumer_group_records import (
    current_record,
    deletion_records,
    epoch_record,
    member_record,
    target_epoch_record,
    target_record,
)
from kafsim.coordinator.group_metadata_manager import GroupMetadataManager
from kafsim.coordinator.records import CoordinatorRecord, group_record, group_tombstone
from kafsim.coordinator.refusal import Refused
from kafsim.coordinator.shard import GroupShard, Then
from kafsim.coordinator.topics import Topics
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import (
    PROTOCOL_TYPE,
    decode_assignment,
    decode_subscription,
    encode,
    version_of,
)
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.java import text_order
from kafsim.protocol.messages.consumer_protocol import ConsumerProtocolAssignment, TopicPartitionResult
from kafsim.protocol.types import Micros
from kafsim.protocol.uuid import Uuid
from kafsim.protocol.wire.primitives import WireError

UP, DOWN = ("bidirectional", "upgrade"), ("bidirectional", "downgrade")
CUSTOM = (
    "because an unsupported custom assignor is in use. Please refer to the documentation or switch to a default "
    "assignor before re-attempting the upgrade."
)


class GroupMigration:
    """Of one shard."""

    def __init__(self, shard: GroupShard, topics: Topics, classic: GroupMetadataManager) -> None:
        self._shard = shard
        self._topics = topics
        self._classic = classic
        self._settings = shard.settings

    # ---------------------------------------------------------------------------------- up

    def upgrade(self, now: Micros, group: ClassicGroup, records: list[CoordinatorRecord]) -> ConsumerGroup:
        """What a classic group with members becomes, by these records; Refused where it cannot be."""
        why = self._why_not_up(group)
        if why is None:
            self._classic.release(now, group, errors.REBALANCE_IN_PROGRESS)
            try:
                made = self._as_consumer_group(group)
            except WireError:
                why = "because the embedded consumer protocol is malformed."
            else:
                records += made
                upgraded = ConsumerGroup(group.id, UndoJournal())
                for record in made[1:]:
                    upgraded.replay(record.key, record.value)
                return upgraded
        raise Refused(errors.GROUP_ID_NOT_FOUND, f"Cannot upgrade classic group {group.id} to consumer group {why}")

    def _why_not_up(self, group: ClassicGroup) -> str | None:
        if self._settings["group.consumer.migration.policy"] not in UP:
            return "because online upgrade is disabled."
        if group.protocol_type != PROTOCOL_TYPE:
            return "because the group does not use the consumer embedded protocol."
        if len(group.members) > self._settings["group.consumer.max.size"]:
            return "because the group size exceeds the consumer group maximum size."
        return None

    def _as_consumer_group(self, group: ClassicGroup) -> list[CoordinatorRecord]:
        names = (name for member in group.members.values() for name in [dict(member.protocols)])
        if group.protocol is None or any(group.protocol not in one for one in names):
            raise Refused(errors.UNKNOWN_SERVER_ERROR)  # Kafka's coordinator does not look whether it is there
        members = [self._as_member(group, group.members[id_]) for id_ in group.in_order()]
        topics = dict.fromkeys(topic for member in members for topic in member.topics)
        targets: dict[str, Target] = {
            m.id: {topic: tuple(sorted(parts)) for topic, parts in m.assigned.items()} for m in members
        }
        return [
            group_tombstone(group.id),
            *(member_record(group.id, member) for member in members),
            epoch_record(group.id, group.generation, self._topics.hash_of(topics)),
            *(target_record(group.id, id_, target) for id_, target in targets.items()),
            target_epoch_record(group.id, group.generation, 0),
            *(current_record(group.id, member) for member in members),
        ]

    def _as_member(self, group: ClassicGroup, member: Member) -> ConsumerGroupMember:
        assigned: dict[Uuid, dict[int, int]] = {}
        if member.assignment:
            given = decode_assignment(member.assignment)
            if given.user_data:
                text = f"Cannot upgrade classic group {group.id} to consumer group {CUSTOM}"
                raise Refused(errors.GROUP_ID_NOT_FOUND, text)
            for topic in given.assigned_partitions:
                id_ = self._topics.id_of(topic.topic)
                if id_ is not None and topic.partitions:
                    assigned.setdefault(id_, {}).update(dict.fromkeys(topic.partitions, group.generation))
        subscription = decode_subscription(member.metadata(group.protocol or ""))
        return ConsumerGroupMember(
            id=member.id,
            epoch=group.generation,
            previous_epoch=group.generation,
            instance=member.instance,
            rack=subscription.rack_id,
            rebalance_ms=member.rebalance_ms,
            client_id=member.client_id,
            client_host=member.client_host,
            topics=tuple(sorted(set(subscription.topics))),
            classic=ClassicMember(member.session_ms, member.protocols),
            assigned=assigned,
        )

    def upgraded(self, group: ClassicGroup) -> None:
        """It is written; nothing of the old group counts any more."""
        for kind in ("join", "sync"):
            self._shard.timers.cancel((kind, group.id))

    # -------------------------------------------------------------------------------- down

    def may_downgrade(self, group: ConsumerGroup, gone: Iterable[str]) -> bool:
        """Are all that are left members of the classic protocol, and is it allowed?"""
        members = [group.members[id_] for id_ in gone]
        left = len(group.members) - len(members)
        classic = group.classic_members - sum(member.is_classic for member in members)
        return (
            left > 0
            and left == classic
            and self._settings["group.consumer.migration.policy"] in DOWN
            and left <= self._settings["group.max.size"]
        )

    def downgrade_after(
        self, now: Micros, group: ConsumerGroup, gone: list[str], why: Because, told: list[object], then: Then
    ) -> None:
        """These leave, and the rest is a classic group that rebalances."""
        left = [group.members[id_] for id_ in group.in_order() if id_ not in gone]
        classic = self._as_classic(now, group, left, {})
        records = deletion_records(group)
        if self.downgrade(now, classic, records, why, told, then):
            self._classic.prepare(now, classic, why)

    def downgrade_by(
        self,
        now: Micros,
        group: ConsumerGroup,
        joining: ConsumerGroupMember,
        replaced: str,
        records: list[CoordinatorRecord],
        told: list[object],
        then: Then,
        *,
        rebalances: bool,
    ) -> None:
        """A member of the classic protocol takes over the instance id of the last one of the consumer protocol."""
        left = [m for id_ in group.in_order() if (m := group.members[id_]).id != replaced]
        classic = self._as_classic(now, group, [*left, joining], {joining.id: replaced})
        ids = [joining.id if id_ == replaced else id_ for id_ in group.members]
        why = because(facts.MIGRATED, member=joining.id, protocol="classic")
        if self.downgrade(now, classic, [*records, *deletion_records(group, ids)], why, told, then) and rebalances:
            self._classic.prepare(now, classic, why)

    def downgrade(
        self,
        now: Micros,
        group: ClassicGroup,
        records: list[CoordinatorRecord],
        why: Because,
        told: list[object],
        then: Then,
    ) -> bool:
        """True when it could be written: then it is a classic group from now on."""
        was = self._shard.groups[group.id]
        records = [*records, group_record(group, {m.id: m.assignment for m in group.members.values()})]
        self._shard.note_new(group)
        if not self._shard.write(now, records, then, replay=False):
            self._shard.groups.put(group.id, was)
            return False
        members = tuple(group.members)
        converted = facts.GroupConverted(
            group=group.id, type="classic", epoch=group.generation, members=members, because=why
        )
        for fact in (*told, converted):
            self._shard.tell_committed(fact)
        for id_ in group.in_order():
            self._classic.renew_session(now, group, group.members[id_])
        return True

    def _as_classic(
        self, now: Micros, group: ConsumerGroup, members: list[ConsumerGroupMember], replaced: Mapping[str, str]
    ) -> ClassicGroup:
        made = ClassicGroup(group.id, self._shard.wall_ms(now))
        made.state, made.generation = STABLE, group.epoch
        for member in members:
            assert member.classic is not None, f"{member.id} speaks the consumer protocol"
            made.add(
                Member(
                    id=member.id,
                    instance=member.instance,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    rebalance_ms=member.rebalance_ms,
                    session_ms=member.classic.session_ms,
                    protocols=member.classic.protocols,
                ),
                PROTOCOL_TYPE,
            )
        made.protocol = made.select_protocol()
        made.note_topics()
        for one in made.members.values():
            target = group.target_of(replaced.get(one.id, one.id))
            try:
                one.assignment = blob_of(self._topics, target, one.metadata(made.protocol))
            except WireError as error:
                text = f"Cannot downgrade the classic group {group.id}: {error}."
                raise Refused(errors.GROUP_ID_NOT_FOUND, text) from None
        return made


def blob_of(topics: Topics, assigned: Mapping[Uuid, Iterable[int]], metadata: bytes) -> bytes:
    """An assignment as members of the classic protocol read it, in the version of what one has sent."""
    named = {name: parts for id_, parts in assigned.items() if (name := topics.name_of(id_)) is not None}
    given = ConsumerProtocolAssignment(
        assigned_partitions=tuple(
            TopicPartitionResult(topic=name, partitions=tuple(sorted(named[name]))) for name in text_order(named)
        )
    )
    return encode(given, version_of(metadata))
