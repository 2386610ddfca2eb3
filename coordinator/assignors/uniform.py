"""As many partitions for everybody, and as much as can be as it was (Kafka: ``UniformAssignor``).

Where all members subscribe to the same topics each keeps what it has up to its share, and the rest fills up those with
less. Otherwise what nobody has goes, topic by topic, to the subscriber with the least, and then partitions move from
the one with the most to the one with the least.
"""

from __future__ import annotations

from collections import deque

from kafsim.coordinator.assignors.assignor import AssignorError, GroupSpec, ServerAssignor, Target
from kafsim.protocol.java import hash_order, uuid_order
from kafsim.protocol.uuid import Uuid

ROUNDS = 16


class UniformAssignor(ServerAssignor):
    name = "uniform"

    def assign(self, group: GroupSpec) -> dict[str, Target]:
        if not group.members:
            return {}
        for spec in group.members.values():
            for topic in spec.topics:
                if topic not in group.topics:
                    text = "which doesn't exist in the topic metadata."
                    raise AssignorError(f"Members are subscribed to topic {topic.hex()} {text}")
        return _homogeneous(group) if group.homogeneous else _Heterogeneous(group).build()


def _homogeneous(group: GroupSpec) -> dict[str, Target]:
    topics = uuid_order(next(iter(group.members.values())).topics)
    found: dict[str, Target] = {member: {} for member in group.members}
    if not topics:
        return found
    held = {(t, p) for spec in group.members.values() for t, parts in spec.target.items() for p in parts}
    unassigned = deque((t, p) for t in topics for p in range(group.topics[t]) if (t, p) not in held)
    least, extra = divmod(sum(group.topics[t] for t in topics), len(group.members))
    unfilled: list[tuple[str, int]] = []
    for index, (member, spec) in enumerate(group.members.items()):
        quota, has_extra = least + (extra > 0), extra > 0
        for topic in uuid_order(spec.target):
            if topic not in topics:
                continue
            parts = hash_order(spec.target[topic])
            if parts[:quota]:
                found[member][topic] = parts[:quota]
            unassigned.extend((topic, p) for p in parts[quota:])
            quota -= len(parts[:quota])
        if quota > 0 and has_extra and len(group.members) - index > extra:
            quota, has_extra = quota - 1, False
        if quota > 0:
            unfilled.append((member, quota))
        extra -= has_extra
    for member, quota in unfilled:
        for _ in range(quota):
            topic, partition = unassigned.popleft()
            found[member].setdefault(topic, []).append(partition)
    if unassigned:
        raise AssignorError("Partitions were left unassigned")
    return found


class _LeastLoaded:
    """Picks members with the fewest partitions in turn, as water fills; ``members`` by size."""

    def __init__(self, members: list[int], sizes: list[int]) -> None:
        self._members, self._sizes = members, sizes
        self.level = sizes[members[0]] - 1
        self._end = self._next = 0

    def pick(self) -> int:
        if self._next >= self._end:
            self.level += 1
            while self._end < len(self._members) and self._sizes[self._members[self._end]] == self.level:
                self._end += 1
            self._next = 0
        self._next += 1
        return self._members[self._next - 1]


class _MostLoaded:
    """Picks members with the most partitions in turn, down level by level."""

    def __init__(self, members: list[int], sizes: list[int]) -> None:
        self._members, self._sizes = members, sizes
        self.level = sizes[members[-1]] + 1
        self._start = self._end = len(members)
        self._next = len(members) - 1

    def pick(self) -> int | None:
        if self._next < self._start:
            if self._end <= self._start and self._start > 0:
                self.level = self._sizes[self._members[self._start - 1]]
            else:
                self.level -= 1
            while self._start > 0 and self._sizes[self._members[self._start - 1]] == self.level:
                self._start -= 1
            self._next = self._end - 1
        if self._next < 0:
            return None
        self._next -= 1
        return self._members[self._next + 1]

    def exclude_last(self) -> None:
        """The one that was picked last has nothing more to give."""
        at = self._next + 1
        self._end -= 1
        self._members[at], self._members[self._end] = self._members[self._end], self._members[at]


class _Heterogeneous:
    """Members by their numbers; ``sizes`` change as partitions move."""

    def __init__(self, group: GroupSpec) -> None:
        self._group = group
        self._names = list(group.members)
        self._subscribers: dict[Uuid, list[int]] = {}
        for number, spec in enumerate(group.members.values()):
            for topic in spec.topics:
                self._subscribers.setdefault(topic, []).append(number)
        self._owners: dict[Uuid, list[int]] = {t: [-1] * group.topics[t] for t in self._subscribers}
        self._sizes = [0] * len(self._names)

    def build(self) -> dict[str, Target]:
        self._keep()
        ordered = sorted(self._subscribers, key=self._rank)
        for topic in ordered:
            self._give_out(topic)
        self._balance([topic for topic in ordered if len(self._subscribers[topic]) > 1])
        found: dict[str, Target] = {name: {} for name in self._names}
        for topic, owners in self._owners.items():
            for partition, owner in enumerate(owners):
                if owner >= 0:
                    found[self._names[owner]].setdefault(topic, []).append(partition)
        return found

    def _rank(self, topic: Uuid) -> tuple[float, int, tuple[int, int]]:
        count = len(self._subscribers[topic])
        return (-self._group.topics[topic] / count, count, _signed(topic))

    def _keep(self) -> None:
        for number, spec in enumerate(self._group.members.values()):
            for topic, partitions in spec.target.items():
                if topic in spec.topics:
                    for partition in partitions:
                        if partition < len(self._owners[topic]):
                            self._owners[topic][partition] = number
                            self._sizes[number] += 1

    def _by_size(self, topic: Uuid) -> list[int]:
        return sorted(self._subscribers[topic], key=lambda member: (self._sizes[member], member))

    def _give_out(self, topic: Uuid) -> None:
        owners = self._owners[topic]
        least = _LeastLoaded(self._by_size(topic), self._sizes)
        for partition, owner in enumerate(owners):
            if owner < 0:
                member = least.pick()
                owners[partition] = member
                self._sizes[member] += 1

    def _balance(self, topics: list[Uuid]) -> None:
        """Round by round, until a whole round moved nothing."""
        last = -1
        for _ in range(ROUNDS):
            for index, topic in enumerate(topics):
                if index == last:
                    return
                if self._balance_topic(topic) or last < 0:
                    last = index

    def _balance_topic(self, topic: Uuid) -> int:
        members = self._by_size(topic)
        if self._sizes[members[-1]] - self._sizes[members[0]] <= 1:
            return 0
        held: dict[int, list[int]] = {}
        for partition, owner in enumerate(self._owners[topic]):
            held.setdefault(owner, []).append(partition)
        least, most = _LeastLoaded(list(members), self._sizes), _MostLoaded(list(members), self._sizes)
        moved = 0
        while most.level - least.level > 1:
            giver = most.pick()
            while giver is not None and not held.get(giver):
                most.exclude_last()
                giver = most.pick()
            if giver is None:
                break
            partition = held[giver].pop()
            taker = least.pick()
            if most.level - least.level <= 1:
                break
            self._owners[topic][partition] = taker
            self._sizes[giver] -= 1
            self._sizes[taker] += 1
            moved += 1
        return moved


def _signed(id_: Uuid) -> tuple[int, int]:
    """As Kafka compares two of them."""
    return (int.from_bytes(id_[:8], "big", signed=True), int.from_bytes(id_[8:], "big", signed=True))
