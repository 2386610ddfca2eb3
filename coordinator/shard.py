"""One partition of ``__consumer_offsets`` and the groups on it (Kafka: ``GroupCoordinatorShard``, its context).

Loading: it reads the partition's log from the start; requests are answered COORDINATOR_LOAD_IN_PROGRESS. Active: what
is decided is appended, replayed at once, and answered when the high watermark has passed it. When another broker leads
the partition everything here is dropped, and who waits is answered NOT_COORDINATOR.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import attrs

from kafsim.controller.tables import Table, UndoJournal
from kafsim.coordinator.classic_group import EMPTY, STABLE, ClassicGroup, Member
from kafsim.coordinator.consumer_group import RECORDS, ConsumerGroup
from kafsim.coordinator.records import CoordinatorRecord
from kafsim.coordinator.timers import KeyedTimers
from kafsim.protocol import errors
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import because
from kafsim.protocol.group_records import serde
from kafsim.protocol.group_records.consumer_group_metadata import ConsumerGroupMetadataKey
from kafsim.protocol.group_records.group_metadata import GroupMetadataKey, GroupMetadataValue
from kafsim.protocol.group_records.legacy_offset_commit import LegacyOffsetCommitKey
from kafsim.protocol.group_records.offset_commit import OffsetCommitKey, OffsetCommitValue
from kafsim.protocol.records.record import Record, encode_batch
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import ConnectionId, Header, Micros, millis
from kafsim.protocol.uuid import ZERO_UUID, Uuid
from kafsim.protocol.wire.primitives import WireError

Then = Callable[[Micros, int], None]
"""What to do with the error of a write, NONE when it is committed."""
OnWritten = Callable[[list[CoordinatorRecord]], None]
OffsetKey = tuple[str, str, int]
"""Group, topic, partition."""

_COORDINATOR_ERRORS = {
    errors.UNKNOWN_TOPIC_OR_PARTITION: errors.COORDINATOR_NOT_AVAILABLE,
    errors.NOT_ENOUGH_REPLICAS: errors.COORDINATOR_NOT_AVAILABLE,
    errors.REQUEST_TIMED_OUT: errors.COORDINATOR_NOT_AVAILABLE,
    errors.NOT_LEADER_OR_FOLLOWER: errors.NOT_COORDINATOR,
    errors.KAFKA_STORAGE_ERROR: errors.NOT_COORDINATOR,
    errors.MESSAGE_TOO_LARGE: errors.UNKNOWN_SERVER_ERROR,
    errors.RECORD_LIST_TOO_LARGE: errors.UNKNOWN_SERVER_ERROR,
    errors.INVALID_FETCH_SIZE: errors.UNKNOWN_SERVER_ERROR,
}


class LogNotReadableError(Exception):
    """The partition is not there, or on a disk that fails."""


class PartitionLog(Protocol):
    """What a shard has of its partition."""

    @property
    def high_watermark(self) -> int: ...
    def append(self, now: Micros, batch: bytes) -> tuple[int, int]:
        """As the leader: an error code, and the offset after the batch."""
        ...

    def records(self) -> Iterator[Record]:
        """All that is in the log, committed or not; LogNotReadableError when there is no log to read here."""
        ...


@attrs.frozen(kw_only=True)
class OffsetAndMetadata:
    """A committed offset. ``expires_ms``: when its client said so, -1 otherwise."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_ms: int
    expires_ms: int
    topic_id: Uuid


@attrs.define(eq=False)
class PendingWrite:
    """Appended, and not committed yet: ``end`` is the offset after it."""

    end: int
    then: Then
    done: bool = False


class GroupShard:
    """``on_loaded`` is called when it begins to serve, ``on_closing`` before its groups are dropped."""

    def __init__(
        self, given: Surroundings, settings: dict[str, Any], index: int, log: PartitionLog, leader_epoch: int
    ) -> None:
        self.given = given
        self.outbox = given.outbox
        self.settings = settings
        self.index = index
        self.leader_epoch = leader_epoch
        self.is_active = False
        self.is_failed = False
        self.journal = UndoJournal()
        self.groups: Table[str, ClassicGroup | ConsumerGroup] = Table(self.journal)
        self.offsets: Table[OffsetKey, OffsetAndMetadata] = Table(self.journal)
        self.of_group: dict[str, dict[OffsetKey, None]] = {}
        """Which offsets a group has."""
        self.undone: dict[str, None] = {}
        """Groups whose members are other than the log says, because what was written failed or took too long: as in
        Kafka, where members are no replicated state, the next coordinator may know them otherwise."""
        self.timers = KeyedTimers(given.outbox, ("coordinator", index))
        self.on_loaded: list[Callable[[Micros], None]] = []
        self.on_closing: list[Callable[[Micros], None]] = []
        self._log = log
        self._written = 0
        self._pending: deque[PendingWrite] = deque()
        self._to_tell: deque[tuple[int, object]] = deque()
        """Facts, each with the offset that has to be committed before it is one."""
        self._overdue: Deadlines[PendingWrite] = Deadlines(given.outbox, ("coordinator-writes", index))

    def wall_ms(self, now: Micros) -> int:
        return self.given.wall_ms(now)

    def reply(self, connection: ConnectionId, header: Header, body: Any) -> None:
        self.outbox.reply(connection, header, body)

    # -------------------------------------------------------------------------------- load

    def load(self, now: Micros) -> None:
        """Read the log; what cannot be read fails the coordinator until it is elected again (Kafka: ``FAILED``)."""
        try:
            for record in self._log.records():
                self._written = record.offset + 1
                self.journal.offset = record.offset if record.offset >= self._log.high_watermark else None
                self._replay_bytes(record)
        except (WireError, LogNotReadableError):
            self.is_failed = True
            return
        finally:
            self.journal.offset = None
        self.is_active = True
        self.outbox.happened(
            facts.CoordinatorLoaded(
                partition=self.index,
                leader_epoch=self.leader_epoch,
                groups=len(self.groups),
                offsets=len(self.offsets),
            )
        )
        for begin in self.on_loaded:
            begin(now)

    def reloaded(self) -> GroupShard:
        """What the next coordinator would make of the log as it is."""
        alone = attrs.evolve(self.given, outbox=Outbox())
        fresh = GroupShard(alone, self.settings, self.index, self._log, self.leader_epoch)
        fresh.load(Micros(0))
        return fresh

    def _replay_bytes(self, record: Record) -> None:
        assert record.key is not None, "every record of a group has a key"
        if int.from_bytes(record.key[:2], "big") in serde.by_type:
            key, value, _ = serde.decode(record.key, record.value)
            self._replay(key, value)

    def _replay(self, key: Any, value: Any) -> None:
        if type(key) in RECORDS:
            self._replay_consumer_group(key, value)
        elif isinstance(key, GroupMetadataKey):
            self._replay_group(key.group, value)
        elif isinstance(key, (OffsetCommitKey, LegacyOffsetCommitKey)):
            self._replay_offset((key.group, key.topic, key.partition), value)

    def _replay_consumer_group(self, key: Any, value: Any) -> None:
        group = self.groups.get(key.group_id)
        if not isinstance(group, ConsumerGroup):
            if value is None:
                return
            assert group is None or group.is_simple, f"{group.id} is a classic group, and {key} is to be replayed"
            group = ConsumerGroup(key.group_id, self.journal)
            self.groups.put(group.id, group)
        if isinstance(key, ConsumerGroupMetadataKey) and value is None:
            assert not group.members, f"{group.id} is removed with members"
            self.groups.delete(group.id)
        else:
            group.replay(key, value)

    def _replay_group(self, id_: str, value: GroupMetadataValue | None) -> None:
        if value is not None:
            self.groups.put(id_, _loaded(id_, value))
        elif id_ in self.groups:
            self.groups.delete(id_)

    def _replay_offset(self, key: OffsetKey, value: OffsetCommitValue | None) -> None:
        if value is None:
            if key in self.offsets:
                self.offsets.delete(key)
            self.of_group.get(key[0], {}).pop(key, None)
            return
        if key[0] not in self.groups:
            self.groups.put(key[0], ClassicGroup(key[0], value.commit_timestamp))
        self.of_group.setdefault(key[0], {})[key] = None
        committed = OffsetAndMetadata(
            offset=value.offset,
            leader_epoch=getattr(value, "leader_epoch", -1),
            metadata=value.metadata,
            commit_ms=value.commit_timestamp,
            expires_ms=getattr(value, "expire_timestamp", -1),
            topic_id=getattr(value, "topic_id", ZERO_UUID),
        )
        self.offsets.put(key, committed)

    # ------------------------------------------------------------------------------- write

    def write(self, now: Micros, records: list[CoordinatorRecord], then: Then, *, replay: bool = True) -> bool:
        """Append; ``then`` when it is committed. Without records, when all before is committed.

        False when they could not be appended: ``then`` has been told the error. ``replay=False``: the state is what the
        records say already.
        """
        if records:
            error, end = self._append(now, records)
            if error:
                then(now, _COORDINATOR_ERRORS.get(error, error))
                return False
            self.journal.offset = end - 1
            for record in records if replay else ():
                self._replay(record.key, record.value)
            self.journal.offset = None
            self._written = end
        elif self._written <= self._log.high_watermark:
            then(now, errors.NONE)
            return True
        pending = PendingWrite(self._written, then)
        self._pending.append(pending)
        self._overdue.add(Micros(now + millis(self.settings["offsets.commit.timeout.ms"])), pending)
        return True

    def _append(self, now: Micros, records: list[CoordinatorRecord]) -> tuple[int, int]:
        wall = self.wall_ms(now)
        encoded = [(wall, serde.encode_key(r.key), serde.encode_value(r.value, r.version)) for r in records]
        codec = self.settings["offsets.topic.compression.codec"]
        return self._log.append(now, encode_batch(encoded, codec=codec, base_sequence=0))  # as Kafka writes it

    def write_apart(self, now: Micros, records: list[CoordinatorRecord], on_written: OnWritten) -> None:
        """Each record for itself: what does not fit into one batch is written in several, and nobody waits for it.

        ``on_written`` is told what was appended.
        """
        half = len(records) // 2
        failed: list[int] = []
        if self.write(now, records, lambda _, error: failed.append(error)):
            on_written(records)
        elif failed == [errors.UNKNOWN_SERVER_ERROR] and half:  # they were too large
            self.write_apart(now, records[:half], on_written)
            self.write_apart(now, records[half:], on_written)

    def classic(self, id_: str) -> ClassicGroup | None:
        """The group, if it is one of the classic protocol."""
        group = self.groups.get(id_)
        return group if isinstance(group, ClassicGroup) else None

    def new_consumer_group(self, id_: str) -> ConsumerGroup:
        """To decide on; it is none of the shard's groups before it is replayed."""
        return ConsumerGroup(id_, UndoJournal())

    def tell_committed(self, fact: object) -> None:
        """State it once all that has been written is committed."""
        if self._written <= self._log.high_watermark:
            self.outbox.happened(fact)
        else:
            self._to_tell.append((self._written, fact))

    def note_new(self, group: ClassicGroup | ConsumerGroup) -> None:
        """A group that the next record is about."""
        self.journal.offset = self._written
        self.groups.put(group.id, group)
        self.journal.offset = None

    def on_high_watermark(self, now: Micros) -> None:
        """What it has passed is committed, and answered."""
        bound = self._log.high_watermark
        self.journal.commit(bound - 1)
        while True:
            told = self._to_tell[0][0] if self._to_tell else bound + 1
            written = self._pending[0].end if self._pending else bound + 1
            if min(told, written) > bound:
                return
            if told <= written:
                self.outbox.happened(self._to_tell.popleft()[1])
            else:
                self._settle(now, self._pending.popleft(), errors.NONE)

    def on_overdue(self, now: Micros) -> None:
        """Writes that took too long; they may be committed yet."""
        for pending in self._overdue.pop_due(now):
            self._settle(now, pending, errors.COORDINATOR_NOT_AVAILABLE)

    def _settle(self, now: Micros, pending: PendingWrite, error: int) -> None:
        if not pending.done:
            pending.done = True
            pending.then(now, error)

    # ------------------------------------------------------------------------------- close

    def close(self, now: Micros) -> None:
        """Another broker coordinates these groups now, or nobody does."""
        was_active, self.is_active = self.is_active, False
        self.timers.clear()
        while self._pending:
            self._settle(now, self._pending.popleft(), errors.NOT_COORDINATOR)
        if was_active:
            for end in self.on_closing:
                end(now)
            self.timers.clear()
        why = because(facts.RESIGNED)
        self.outbox.happened(facts.CoordinatorUnloaded(partition=self.index, groups=len(self.groups), because=why))


def _loaded(id_: str, value: GroupMetadataValue) -> ClassicGroup:
    """Stable, or Empty without members; each member is left with the protocol that was chosen."""
    group = ClassicGroup(id_, value.current_state_timestamp)
    group.since_ms = None if value.current_state_timestamp < 0 else value.current_state_timestamp
    group.state = STABLE if value.members else EMPTY
    group.generation = value.generation
    for given in value.members:
        member = Member(
            id=given.member_id,
            instance=given.group_instance_id,
            client_id=given.client_id,
            client_host=given.client_host,
            rebalance_ms=given.session_timeout if given.rebalance_timeout < 0 else given.rebalance_timeout,
            session_ms=given.session_timeout,
            protocols=((value.protocol or "", given.subscription),),
            assignment=given.assignment,
        )
        group.add(member, value.protocol_type)
    group.protocol_type = value.protocol_type or None
    group.protocol, group.leader = value.protocol, value.leader
    group.note_topics()
    return group
