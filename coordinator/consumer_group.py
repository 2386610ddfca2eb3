"""A group of the consumer protocol: members, epochs, who has which partition (KIP-848; Kafka: ``ConsumerGroup``).

Three epochs say where a group stands. The group epoch grows with every change of members, subscriptions or topics. The
assignment epoch is that of the group the target assignment was made for. Each member has an epoch of its own, which
becomes the assignment epoch once it has given up what the target takes away from it.

    Empty         no members
    Assigning     the target assignment is older than the group
    Reconciling   some member has not come to the target yet
    Stable        all members have

    to            from
    Empty         any: the last member is gone
    Assigning     any: the group epoch grew
    Reconciling   Assigning: there is a target; Stable: a member came back
    Stable        Reconciling, Assigning

All of it is what the records say: :meth:`ConsumerGroup.replay` is the only writer. What is derived from it is not
journaled, because nobody takes a record back: a coordinator that loses its partition drops the group.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import attrs

from kafsim.controller.tables import Table, UndoJournal
from kafsim.coordinator.classic_group import EMPTY, STABLE
from kafsim.protocol.group_records.consumer_group_current_member_assignment import (
    ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue,
    TopicPartitions,
)
from kafsim.protocol.group_records.consumer_group_member_metadata import (
    ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue,
)
from kafsim.protocol.group_records.consumer_group_metadata import ConsumerGroupMetadataKey, ConsumerGroupMetadataValue
from kafsim.protocol.group_records.consumer_group_partition_metadata import ConsumerGroupPartitionMetadataKey
from kafsim.protocol.group_records.consumer_group_regular_expression import (
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
)
from kafsim.protocol.group_records.consumer_group_target_assignment_member import (
    ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue,
)
from kafsim.protocol.group_records.consumer_group_target_assignment_metadata import (
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)
from kafsim.protocol.java import text_order
from kafsim.protocol.uuid import Uuid

ASSIGNING, RECONCILING = "Assigning", "Reconciling"
UNKNOWN_EPOCH = -1
LEFT_FOR_GOOD, LEFT_FOR_A_WHILE = -1, -2
"""Member epochs of who leaves; a static member may come back."""
JOINS = 0

Target = Mapping[Uuid, tuple[int, ...]]
"""Partitions in order, by topic."""
Owned = Mapping[Uuid, Mapping[int, int]]
"""Partitions by topic, each with the epoch it was assigned in."""


class MemberState(enum.Enum):
    """As records have it."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1
    UNRELEASED_PARTITIONS = 2
    UNKNOWN = 127


class ClassicMember(NamedTuple):
    """What a member that speaks the classic protocol has told."""

    session_ms: int
    protocols: tuple[tuple[str, bytes], ...]


@attrs.frozen(kw_only=True)
class ConsumerGroupMember:
    """``assigned`` is what it may read, ``pending`` what it has not given up yet."""

    id: str
    epoch: int = JOINS
    previous_epoch: int = UNKNOWN_EPOCH
    state: MemberState = MemberState.STABLE
    instance: str | None = None
    rack: str | None = None
    rebalance_ms: int = -1
    client_id: str = ""
    client_host: str = ""
    topics: tuple[str, ...] = ()
    """Names, sorted."""
    regex: str = ""
    assignor: str | None = None
    classic: ClassicMember | None = None
    assigned: Owned = attrs.field(factory=dict)
    pending: Owned = attrs.field(factory=dict)

    @property
    def is_classic(self) -> bool:
        return self.classic is not None


class ResolvedRegex(NamedTuple):
    """The topics that matched when the metadata was at ``version``."""

    topics: tuple[str, ...]
    version: int
    timestamp: int


class ConsumerGroup:
    """``journal``: of the shard, so that :meth:`committed` knows what is committed."""

    def __init__(self, id_: str, journal: UndoJournal) -> None:
        self.id = id_
        self.members: Table[str, ConsumerGroupMember] = Table(journal)
        self.targets: Table[str, Target] = Table(journal)
        self.regexes: Table[str, ResolvedRegex] = Table(journal)
        self.numbers: Table[str, int] = Table(journal)
        """``epoch``, ``hash``, ``assignment epoch``, ``assignment time``."""
        self.has_legacy_metadata = False
        self.static: dict[str, str] = {}
        self.owners: dict[tuple[Uuid, int], int] = {}
        """The epoch of the member that has a partition, or has not given it up yet."""
        self.votes: dict[str, int] = {}
        """How many members want each assignor."""
        self.by_name: dict[str, int] = {}
        """How many members name each topic."""
        self.by_regex: dict[str, int] = {}
        """How many members have each regular expression."""
        self.protocols: dict[str, int] = {}
        """How many members of the classic protocol have each of its protocols."""
        self.classic_members = 0
        self.looked_at: int | None = None
        """Which change of the topics its hash takes into account; None when it has to be made anew."""
        self._standing: dict[tuple[MemberState, int], int] = {}
        """How many members are in each state and epoch."""

    # -------------------------------------------------------------------------------- looks

    @property
    def epoch(self) -> int:
        return self.numbers.get("epoch") or 1

    @property
    def assignment_epoch(self) -> int:
        found = self.numbers.get("assignment epoch")
        return 1 if found is None else found

    @property
    def assignment_time(self) -> int:
        return self.numbers.get("assignment time") or 0

    @property
    def metadata_hash(self) -> int:
        return self.numbers.get("hash") or 0

    @property
    def state(self) -> str:
        return state_of(len(self.members), self.settled_members, self.epoch, self.assignment_epoch)

    @property
    def settled_members(self) -> int:
        """How many have all of the newest target."""
        return self._standing.get((MemberState.STABLE, self.assignment_epoch), 0)

    @property
    def protocol_type(self) -> str:
        return "consumer"

    def in_order(self) -> list[str]:
        """The members in the order of a Java hash map."""
        return text_order(self.members)

    def epoch_of(self, topic_id: Uuid, partition: int) -> int:
        """Of the owner of a partition; -1 when it is free."""
        return self.owners.get((topic_id, partition), UNKNOWN_EPOCH)

    def target_of(self, member: str) -> Target:
        return self.targets.get(member) or {}

    def topics_of(self, member: ConsumerGroupMember) -> tuple[str, ...]:
        """Those it names and those that match its regular expression, as far as that is resolved."""
        found = self.regexes.get(member.regex) if member.regex else None
        return member.topics if found is None else tuple(dict.fromkeys((*member.topics, *found.topics)))

    def subscribed(self) -> dict[str, None]:
        """The topics of all members."""
        resolved = (found.topics for regex in self.by_regex if (found := self.regexes.get(regex)) is not None)
        return dict.fromkeys((*self.by_name, *(topic for topics in resolved for topic in topics)))

    def is_subscribed_to(self, topic: str) -> bool:
        found = (self.regexes.get(regex) for regex in self.by_regex)
        return topic in self.by_name or any(topic in one.topics for one in found if one is not None)

    def is_homogeneous(
        self,
        members: int,
        names: Mapping[str, int] | None = None,
        regexes: Mapping[str, int] | None = None,
    ) -> bool:
        """Do all members have the same topics (Kafka: ``ConsumerGroup.subscriptionType``)?"""
        names, regexes = self.by_name if names is None else names, self.by_regex if regexes is None else regexes
        if not regexes:
            return all(count == members for count in names.values())
        return next(iter(regexes.values())) == members and not names and len(regexes) == 1

    def supports(self, names: Iterable[str]) -> bool:
        """Has one of these protocols every member of the classic protocol?"""
        return any(self.protocols.get(name, 0) == self.classic_members for name in names)

    # ------------------------------------------------------------------------------- replay

    def replay(self, key: Any, value: Any) -> None:
        """One record; a value of None takes away what the key names."""
        _REPLAY[type(key)](self, key, value)

    def _replay_group(self, _: ConsumerGroupMetadataKey, value: ConsumerGroupMetadataValue | None) -> None:
        if value is not None:
            self.numbers.put("epoch", value.epoch)
            self.numbers.put("hash", value.metadata_hash)

    def _replay_legacy(self, _: ConsumerGroupPartitionMetadataKey, value: Any) -> None:
        self.has_legacy_metadata = value is not None

    def _replay_member(
        self, key: ConsumerGroupMemberMetadataKey, value: ConsumerGroupMemberMetadataValue | None
    ) -> None:
        old = self.members.get(key.member_id)
        if value is None:
            if old is not None:
                assert old.epoch == UNKNOWN_EPOCH, f"{old.id} is removed before its assignment"
                assert old.id not in self.targets, f"{old.id} is removed before its target"
                self._put(old, None)
            return
        before = old or ConsumerGroupMember(id=key.member_id)
        classic = value.classic_member_metadata
        self._put(
            old,
            attrs.evolve(
                before,
                instance=value.instance_id,
                rack=value.rack_id,
                rebalance_ms=value.rebalance_timeout_ms,
                client_id=value.client_id,
                client_host=value.client_host,
                topics=tuple(sorted(value.subscribed_topic_names)),
                regex=value.subscribed_topic_regex or "",
                assignor=value.server_assignor,
                classic=None
                if classic is None or not classic.supported_protocols
                else ClassicMember(
                    classic.session_timeout_ms, tuple((p.name, p.metadata) for p in classic.supported_protocols)
                ),
            ),
        )

    def _replay_current(
        self, key: ConsumerGroupCurrentMemberAssignmentKey, value: ConsumerGroupCurrentMemberAssignmentValue | None
    ) -> None:
        old = self.members.get(key.member_id)
        if value is None:
            if old is not None:
                gone = attrs.evolve(old, epoch=UNKNOWN_EPOCH, previous_epoch=UNKNOWN_EPOCH, assigned={}, pending={})
                self._put(old, gone)
            return
        before = old or ConsumerGroupMember(id=key.member_id)
        state = MemberState(value.state) if value.state in _STATES else MemberState.UNKNOWN
        self._put(
            old,
            attrs.evolve(
                before,
                epoch=value.member_epoch,
                previous_epoch=value.previous_member_epoch,
                state=state,
                assigned=_owned(value.assigned_partitions, value.member_epoch),
                pending=_owned(value.partitions_pending_revocation, value.member_epoch),
            ),
        )

    def _replay_target(
        self, key: ConsumerGroupTargetAssignmentMemberKey, value: ConsumerGroupTargetAssignmentMemberValue | None
    ) -> None:
        if value is not None:
            target = {one.topic_id: tuple(sorted(one.partitions)) for one in value.topic_partitions}
            self.targets.put(key.member_id, target)
        elif key.member_id in self.targets:
            self.targets.delete(key.member_id)

    def _replay_target_epoch(
        self,
        _: ConsumerGroupTargetAssignmentMetadataKey,
        value: ConsumerGroupTargetAssignmentMetadataValue | None,
    ) -> None:
        self.numbers.put("assignment epoch", UNKNOWN_EPOCH if value is None else value.assignment_epoch)
        self.numbers.put("assignment time", 0 if value is None else value.assignment_timestamp)

    def _replay_regex(
        self, key: ConsumerGroupRegularExpressionKey, value: ConsumerGroupRegularExpressionValue | None
    ) -> None:
        regex = key.regular_expression
        if value is not None:
            self.regexes.put(regex, ResolvedRegex(tuple(value.topics), value.version, value.timestamp))
        elif regex in self.regexes:
            self.regexes.delete(regex)

    # ------------------------------------------------------------------------------ derived

    def _put(self, old: ConsumerGroupMember | None, new: ConsumerGroupMember | None) -> None:
        if old is not None:
            self._count(old, -1)
            for topic_id, partition in partitions_of(old):
                if self.owners.get((topic_id, partition)) == old.epoch:
                    del self.owners[topic_id, partition]
        if new is None:
            assert old is not None, "somebody is removed"
            self.members.delete(old.id)
            if old.instance is not None and self.static.get(old.instance) == old.id:
                del self.static[old.instance]
            return
        self.members.put(new.id, new)
        self._count(new, 1)
        if new.instance is not None:
            self.static[new.instance] = new.id
        for topic_id, partition in partitions_of(new):
            self.owners[topic_id, partition] = new.epoch

    def _count(self, member: ConsumerGroupMember, by: int) -> None:
        add(self._standing, (member.state, member.epoch), by)
        count_subscription(self.by_name, self.by_regex, member, by)
        if member.assignor is not None:
            add(self.votes, member.assignor, by)
        if member.classic is not None:
            self.classic_members += by
            for name, _ in member.classic.protocols:
                add(self.protocols, name, by)


def state_of(members: int, settled: int, epoch: int, assignment_epoch: int) -> str:
    """``settled``: how many of the members have all of the newest target."""
    if not members:
        return EMPTY
    if epoch > assignment_epoch:
        return ASSIGNING
    return STABLE if settled == members else RECONCILING


def count_subscription(names: dict[str, int], regexes: dict[str, int], member: ConsumerGroupMember, by: int) -> None:
    for topic in member.topics:
        add(names, topic, by)
    if member.regex:
        add(regexes, member.regex, by)


def add(counts: dict[Any, int], key: Any, by: int) -> None:
    """What is counted down to nothing is taken out."""
    counts[key] = counts.get(key, 0) + by
    if not counts[key]:
        del counts[key]


def partitions_of(member: ConsumerGroupMember) -> list[tuple[Uuid, int]]:
    """All that it has or has not given up."""
    return [(t, p) for owned in (member.assigned, member.pending) for t, parts in owned.items() for p in parts]


def _owned(given: tuple[TopicPartitions, ...], epoch: int) -> Owned:
    """Records of before KIP-1251 do not tell the epochs of partitions."""
    found = {}
    for one in given:
        epochs = one.assignment_epochs
        if epochs is None or len(epochs) != len(one.partitions):
            epochs = (max(epoch, 0),) * len(one.partitions)
        found[one.topic_id] = dict(zip(one.partitions, epochs, strict=True))
    return found


_STATES = frozenset(state.value for state in MemberState)
_REPLAY: dict[type, Any] = {
    ConsumerGroupMetadataKey: ConsumerGroup._replay_group,
    ConsumerGroupPartitionMetadataKey: ConsumerGroup._replay_legacy,
    ConsumerGroupMemberMetadataKey: ConsumerGroup._replay_member,
    ConsumerGroupCurrentMemberAssignmentKey: ConsumerGroup._replay_current,
    ConsumerGroupTargetAssignmentMemberKey: ConsumerGroup._replay_target,
    ConsumerGroupTargetAssignmentMetadataKey: ConsumerGroup._replay_target_epoch,
    ConsumerGroupRegularExpressionKey: ConsumerGroup._replay_regex,
}
RECORDS = frozenset(_REPLAY)
"""The keys of the records of such groups."""
