"""Committed offsets: commit, fetch, delete, expire (Kafka: ``OffsetMetadataManager``)."""

from __future__ import annotations

from typing import NamedTuple

from kafsim.coordinator.classic_group import COMPLETING, DEAD, EMPTY, PREPARING, STABLE, ClassicGroup
from kafsim.coordinator.consumer_group import ConsumerGroup
from kafsim.coordinator.consumer_group_records import deletion_records
from kafsim.coordinator.group_metadata_manager import GroupMetadataManager
from kafsim.coordinator.records import CoordinatorRecord, group_tombstone, offset_record, offset_tombstone
from kafsim.coordinator.refusal import tell_refused, why_invalid
from kafsim.coordinator.shard import GroupShard, OffsetAndMetadata, OffsetKey, Then
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import PROTOCOL_TYPE
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.group_records.consumer_group_metadata import ConsumerGroupMetadataKey
from kafsim.protocol.group_records.group_metadata import GroupMetadataKey
from kafsim.protocol.types import Micros, TopicPartition, millis
from kafsim.protocol.uuid import ZERO_UUID, Uuid

ID_NOT_FOUND_SINCE = EPOCHS_SINCE = 9
MINUTE_MS = 60_000
Refusal = tuple[int, Because]


class Commit(NamedTuple):
    """Of one partition."""

    tp: TopicPartition
    topic_id: Uuid
    offset: int
    leader_epoch: int
    metadata: str | None


class Committer(NamedTuple):
    """Who commits; a generation of -1 is nobody's."""

    group: str
    member: str
    instance: str | None
    generation: int
    version: int


class OffsetMetadataManager:
    """The offsets of one shard's groups."""

    def __init__(self, shard: GroupShard, groups: GroupMetadataManager) -> None:
        self._shard = shard
        self._groups = groups
        self._settings = shard.settings

    # ------------------------------------------------------------------------------ commit

    def too_large(self, commits: list[Commit]) -> dict[TopicPartition, int]:
        """The error of those whose metadata is larger than offset.metadata.max.bytes."""
        most = self._settings["offset.metadata.max.bytes"]
        return {one.tp: errors.OFFSET_METADATA_TOO_LARGE for one in commits if _length(one.metadata) > most}

    def commit(self, now: Micros, who: Committer, commits: list[Commit], retention_ms: int, then: Then) -> None:
        group = self._shard.groups.get(who.group)
        if isinstance(group, ConsumerGroup):
            refusal = self._check_consumer(group, who, commits)
        else:
            refusal = self._check(group, who)
        if refusal is not None:
            error, why = refusal
            tell_refused(self._shard.outbox, who.group, who.member, "OffsetCommit", error, why)
            then(now, error)
            return
        is_new = group is None
        if group is None:
            group = ClassicGroup(who.group, self._shard.wall_ms(now))
            self._shard.note_new(group)
        elif isinstance(group, ClassicGroup) and group.state in (STABLE, PREPARING) and who.member in group.members:
            self._groups.renew_session(now, group, group.members[who.member])
        records = self._records(now, who.group, commits, retention_ms)
        if not self._shard.write(now, records, self._told(who, commits, then)) and is_new:
            self._shard.groups.delete(who.group)

    def _told(self, who: Committer, taken: list[Commit], then: Then) -> Then:
        def told(now: Micros, error: int) -> None:
            if not error and taken:
                self._shard.outbox.happened(
                    facts.OffsetsCommitted(
                        group=who.group,
                        member=who.member,
                        generation=who.generation,
                        offsets=tuple((str(one.tp), one.offset) for one in taken),
                    )
                )
            then(now, error)

        return told

    def _records(self, now: Micros, group: str, commits: list[Commit], retention_ms: int) -> list[CoordinatorRecord]:
        wall = self._shard.wall_ms(now)
        return [
            offset_record(
                group,
                *one.tp,
                expires_ms=-1 if retention_ms < 0 else wall + retention_ms,
                topic_id=one.topic_id,
                offset=one.offset,
                leader_epoch=one.leader_epoch,
                metadata=one.metadata or "",
                commit_timestamp=wall,
            )
            for one in commits
        ]

    def _check(self, group: ClassicGroup | None, who: Committer) -> Refusal | None:
        """As Kafka orders it."""
        if group is None:
            if who.generation < 0:
                return None
            known = who.version >= ID_NOT_FOUND_SINCE
            return (errors.GROUP_ID_NOT_FOUND if known else errors.ILLEGAL_GENERATION), because(facts.NO_GROUP)
        if group.state == DEAD:
            return errors.COORDINATOR_NOT_AVAILABLE, because(facts.NO_GROUP)
        if who.generation < 0 and group.state == EMPTY:
            return None
        if who.generation < 0 and not who.member and who.instance is None:
            return errors.UNKNOWN_MEMBER_ID, because(facts.NOT_A_MEMBER)
        if not self._shard.given.safeguards.check_generations:
            return None
        error = group.validate(who.member, who.instance)
        if error:
            return error, why_invalid(group, who.instance, error)
        if who.generation != group.generation:
            return errors.ILLEGAL_GENERATION, because(facts.STALE, given=who.generation, current=group.generation)
        if group.state == COMPLETING:
            return errors.REBALANCE_IN_PROGRESS, because(facts.REBALANCING, generation=group.generation)
        return None

    def _check_consumer(self, group: ConsumerGroup, who: Committer, commits: list[Commit]) -> Refusal | None:
        """A member that is an epoch behind may commit what it has had all the while (KIP-1251).

        What is wrong with one partition is so with all of them.
        """
        if who.generation < 0 and not group.members:
            return None
        member = group.members.get(who.member)
        if not self._shard.given.safeguards.check_generations:
            return None
        if member is None:
            nobody = who.generation < 0 and not who.member
            return errors.UNKNOWN_MEMBER_ID, because(facts.NOT_A_MEMBER if nobody else facts.UNKNOWN)
        if not member.is_classic and who.version < EPOCHS_SINCE:
            reason = f"version {who.version} of OffsetCommit knows no member epochs"
            return errors.UNSUPPORTED_VERSION, because(facts.REFUSED, reason=reason)
        if who.generation == member.epoch:
            return None
        stale = errors.ILLEGAL_GENERATION if member.is_classic else errors.STALE_MEMBER_EPOCH
        if who.generation > member.epoch:
            return stale, because(facts.NOT_YET, given=who.generation, current=member.epoch)
        for one in commits:
            owned = (member.assigned.get(one.topic_id, {}), member.pending.get(one.topic_id, {}))
            since = next((parts[one.tp.partition] for parts in owned if one.tp.partition in parts), None)
            if since is None:
                return stale, because(facts.NOT_ASSIGNED, partition=str(one.tp), given=who.generation)
            if who.generation < since:
                why = because(facts.ASSIGNED_LATER, partition=str(one.tp), given=who.generation, since=since)
                return stale, why
        return None

    # ------------------------------------------------------------------------------- fetch

    def may_fetch(self, group_id: str, member_id: str | None, epoch: int, *, newest: bool) -> int:
        """The error of one who is no member of a consumer group, or not in the epoch that it tells."""
        groups = self._shard.groups
        group = groups.get(group_id) if newest else groups.committed(group_id)
        if not isinstance(group, ConsumerGroup) or (member_id is None and epoch < 0):
            return errors.NONE
        id_ = member_id or ""
        member = group.members.get(id_) if newest else group.members.committed(id_)
        if member is None:
            return errors.UNKNOWN_MEMBER_ID
        stale = errors.ILLEGAL_GENERATION if member.is_classic else errors.STALE_MEMBER_EPOCH
        return errors.NONE if member.epoch == epoch else stale

    def fetch(self, group: str, tp: TopicPartition, topic_id: Uuid, newest: bool) -> OffsetAndMetadata | None:
        """What is committed; with ``newest`` also what is only written yet."""
        key = (group, *tp)
        found = self._shard.offsets.get(key) if newest else self._shard.offsets.committed(key)
        other = found is not None and ZERO_UUID not in (topic_id, found.topic_id) and topic_id != found.topic_id
        return None if other else found

    def of_group(self, group: str, newest: bool) -> dict[TopicPartition, OffsetAndMetadata]:
        """All that a group has; without ``newest`` also what is deleted, and that not committed yet."""
        found = {}
        deleted = () if newest else (key for key in self._shard.offsets.touched() if key[0] == group)
        for key in dict.fromkeys((*self._shard.of_group.get(group, {}), *deleted)):
            tp = TopicPartition(key[1], key[2])
            offset = self.fetch(group, tp, ZERO_UUID, newest)
            if offset is not None:
                found[tp] = offset
        return found

    # ------------------------------------------------------------------------------ delete

    def judge_delete(self, group_id: str, asked: list[TopicPartition]) -> tuple[int, dict[TopicPartition, int]]:
        """May offsets of the group be deleted, and which of these?"""
        group = self._shard.groups.get(group_id)
        if group is None or group.state == DEAD:
            return errors.GROUP_ID_NOT_FOUND, {}
        if group.state != EMPTY and group.protocol_type != PROTOCOL_TYPE:
            return errors.NON_EMPTY_GROUP, {}
        held, free = errors.GROUP_SUBSCRIBED_TO_TOPIC, errors.NONE
        return errors.NONE, {tp: held if group.is_subscribed_to(tp.topic) else free for tp in asked}

    def delete(self, now: Micros, group_id: str, partitions: list[TopicPartition], then: Then) -> None:
        keys = [(group_id, *tp) for tp in partitions]
        self._shard.write(now, [offset_tombstone(*key) for key in keys if key in self._shard.offsets], then)

    def delete_group(self, now: Micros, group_id: str, then: Then) -> None:
        group = self._shard.groups.get(group_id)
        if group is None or group.state == DEAD:
            then(now, errors.GROUP_ID_NOT_FOUND)
        elif group.state != EMPTY:
            then(now, errors.NON_EMPTY_GROUP)
        else:
            keys = list(self._shard.of_group.get(group_id, {}))
            records = [*(offset_tombstone(*key) for key in keys), *_tombstones(group)]
            if self._shard.write(now, records, then):
                self._shard.outbox.happened(facts.GroupRemoved(group=group_id))

    # ------------------------------------------------------------------------------ expire

    def begin(self, now: Micros) -> None:
        """Expired offsets are looked for every offsets.retention.check.interval.ms."""
        at = Micros(now + millis(self._settings["offsets.retention.check.interval.ms"]))
        self._shard.timers.set("expire", at, self._expire)

    def _expire(self, now: Micros) -> None:
        records: list[CoordinatorRecord] = []
        for group in self._shard.groups.values():
            expired = self._expired(now, group)
            records += [offset_tombstone(*key) for key in expired]
            if group.state == EMPTY and len(expired) == len(self._shard.of_group.get(group.id, {})):
                records += _tombstones(group)
        if records:
            self._shard.write_apart(now, records, self._tell_removed)
        self.begin(now)

    def _tell_removed(self, written: list[CoordinatorRecord]) -> None:
        for record in written:
            if isinstance(record.key, GroupMetadataKey):
                self._shard.outbox.happened(facts.GroupRemoved(group=record.key.group))
            elif isinstance(record.key, ConsumerGroupMetadataKey):
                self._shard.outbox.happened(facts.GroupRemoved(group=record.key.group_id))

    def _expired(self, now: Micros, group: ClassicGroup | ConsumerGroup) -> list[OffsetKey]:
        wall = self._shard.wall_ms(now)
        retention = self._settings["offsets.retention.minutes"] * MINUTE_MS
        found = []
        for key in self._shard.of_group.get(group.id, {}):
            offset = self._shard.offsets[key]
            since = _counted_from(group, offset)
            if since is None or group.is_subscribed_to(key[1]):
                continue
            if wall >= offset.expires_ms if offset.expires_ms >= 0 else wall - since >= retention:
                found.append(key)
        return found

    def on_topics_deleted(self, now: Micros, topics: dict[Uuid, str]) -> None:
        """Their offsets go with them; where it is not told which topic of that name they were of, by the name."""
        names = frozenset(topics.values())
        records = [
            offset_tombstone(*key)
            for key, offset in self._shard.offsets.items()
            if offset.topic_id in topics or (offset.topic_id == ZERO_UUID and key[1] in names)
        ]
        if records:
            self._shard.write_apart(now, records, lambda _: None)


def _tombstones(group: ClassicGroup | ConsumerGroup) -> list[CoordinatorRecord]:
    return deletion_records(group) if isinstance(group, ConsumerGroup) else [group_tombstone(group.id)]


def _counted_from(group: ClassicGroup | ConsumerGroup, offset: OffsetAndMetadata) -> int | None:
    """Since when an offset has been of no use (KIP-211); None while it may be of use."""
    if isinstance(group, ConsumerGroup) or group.protocol_type is None:
        return offset.commit_ms
    if group.state == EMPTY:
        return offset.commit_ms if group.since_ms is None else group.since_ms
    if group.protocol_type == PROTOCOL_TYPE and group.topics is not None and group.state == STABLE:
        return offset.commit_ms
    return None


def _length(metadata: str | None) -> int:
    """In the units that Java counts."""
    return 0 if metadata is None else len(metadata.encode("utf-16-be")) // 2
