"""Sticky, for members that subscribe to different topics (Kafka: ``GeneralAssignmentBuilder``).

What nobody has goes to the member with the least that wants it. Then partitions move, one by one, from a member with at
least two more than another one that could have them, until there is none; and if that made nothing more even, all is as
it was before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping

from kafsim.clients.assignors.assignor import Assignment, Subscriptions, Topics
from kafsim.clients.assignors.constrained import without
from kafsim.clients.assignors.racks import RackInfo
from kafsim.protocol.java import partition_order
from kafsim.protocol.types import TopicPartition

Previous = Mapping[TopicPartition, str]
Pair = tuple[str, str]


class Movements:
    """Which partitions went from whom to whom, so that two of a topic do not change places."""

    def __init__(self) -> None:
        self._pairs: dict[TopicPartition, Pair] = {}
        self._by_topic: dict[str, dict[Pair, dict[TopicPartition, None]]] = {}

    def note(self, tp: TopicPartition, old: str, new: str) -> None:
        before = self._pairs.pop(tp, None)
        if before is not None:
            del self._by_topic[tp.topic][before][tp]
            old = before[0]
        if old != new:
            self._pairs[tp] = (old, new)
            self._by_topic.setdefault(tp.topic, {}).setdefault((old, new), {})[tp] = None

    def instead_of(self, tp: TopicPartition, old: str, new: str) -> TopicPartition:
        """Another one of the topic, that came the other way: it goes back, and this one stays."""
        old = self._pairs.get(tp, (old, new))[0]
        came = self._by_topic.get(tp.topic, {}).get((new, old))
        return partition_order(came)[0] if came else tp


class GeneralAssignment:
    def __init__(
        self,
        topics: Topics,
        racks: RackInfo,
        owned: dict[str, list[TopicPartition]],
        subscriptions: Subscriptions,
        previous: Previous,
    ) -> None:
        self._topics = topics
        self._racks = racks
        self._previous = previous
        self._found = owned
        self._wants: dict[str, list[str]] = {}
        """The topics of each member that are known."""
        self._readers: dict[str, list[str]] = {topic: [] for topic in topics}
        for member, subscription in subscriptions.items():
            self._wants[member] = [topic for topic in subscription.topics if topic in topics]
            for topic in self._wants[member]:
                self._readers[topic].append(member)
        self._owner = {tp: member for member, partitions in owned.items() for tp in partitions}
        self._movements = Movements()
        self._sorted: list[tuple[int, str]] = []
        """Members that can take part, those with the fewest partitions first."""

    def build(self) -> Assignment:
        revokes = self._drop_unusable()
        ordered = sorted(self._topics, key=lambda topic: (len(self._readers[topic]), topic))
        every = [TopicPartition(topic, index) for topic in ordered for index in range(len(self._topics[topic]))]
        kept = sorted((tp for partitions in self._found.values() for tp in partitions), key=self._order)
        unassigned = without(every, kept)
        self._sorted = sorted((len(partitions), member) for member, partitions in self._found.items())
        self._balance(every, unassigned, revokes=revokes)
        return self._found

    def _order(self, tp: TopicPartition) -> tuple[int, str, int]:
        return (len(self._readers[tp.topic]), tp.topic, tp.partition)

    def _drop_unusable(self) -> bool:
        """What a member does not subscribe to any more, or is not in its rack; was there such?"""
        revokes = False
        for member, partitions in self._found.items():
            kept = [tp for tp in partitions if tp.topic in self._wants[member] and not self._racks.mismatch(member, tp)]
            revokes |= len(kept) < len(partitions)
            partitions[:] = kept
        return revokes

    # ---------------------------------------------------------------------------- giving out

    def _balance(self, every: list[TopicPartition], unassigned: list[TopicPartition], *, revokes: bool) -> None:
        initializing = self._sorted[-1][0] == 0
        left = unassigned
        if self._racks.members:
            left = [tp for tp in unassigned if not self._give(tp, by_rack=True)]
        for tp in left:
            self._give(tp, by_rack=False)
        fixed = self._take_out_fixed()
        before = {member: list(partitions) for member, partitions in self._found.items()}
        if not revokes:
            self._reassign([tp for tp in unassigned if self._can_move(tp)])
        moved = self._reassign([tp for tp in every if self._can_move(tp)])
        if moved and not initializing and _score(self._found) >= _score(before):
            self._found = before
        self._found.update(fixed)

    def _give(self, tp: TopicPartition, *, by_rack: bool) -> bool:
        for size, member in self._sorted:
            if tp.topic in self._wants[member] and not (by_rack and self._racks.mismatch(member, tp)):
                self._resort(member, size, size + 1)
                self._found[member].append(tp)
                self._owner[tp] = member
                return True
        return False

    def _resort(self, member: str, old: int, new: int) -> None:
        del self._sorted[bisect_left(self._sorted, (old, member))]
        insort(self._sorted, (new, member))

    def _can_move(self, tp: TopicPartition) -> bool:
        return len(self._readers[tp.topic]) > 1

    def _take_out_fixed(self) -> Assignment:
        """Members that have all that they can, and nothing that another one could have."""
        fixed: Assignment = {}
        for member in list(self._wants):
            partitions = self._found[member]
            most = sum(len(self._topics[topic]) for topic in self._wants[member])
            if len(partitions) >= most and not any(self._can_move(tp) for tp in partitions):
                fixed[member] = self._found.pop(member)
                del self._sorted[bisect_left(self._sorted, (len(partitions), member))]
        return fixed

    # ------------------------------------------------------------------------------- moving

    def _reassign(self, partitions: list[TopicPartition]) -> bool:
        """Until a round moves nothing."""
        any_moved = moved = True
        any_moved = False
        while moved:
            moved = False
            for tp in partitions:
                if self._is_balanced():
                    break
                target = self._better_owner(tp)
                if target is not None:
                    self._move(tp, target)
                    moved = any_moved = True
        return any_moved

    def _is_balanced(self) -> bool:
        """Can nobody get more from somebody who has at least two more?"""
        if self._sorted[0][0] >= self._sorted[-1][0] - 1:
            return True
        largest: dict[str, int] = {}
        """Of each topic: how many its owner with the most has."""
        for partitions in self._found.values():
            for tp in partitions:
                largest[tp.topic] = max(largest.get(tp.topic, 0), len(partitions))
        return not any(
            len(self._found[member]) + 1 < largest.get(topic, 0)
            for _, member in self._sorted
            for topic in self._wants[member]
        )

    def _better_owner(self, tp: TopicPartition) -> str | None:
        """Racks make no difference here: Kafka looks for a member with one that fits, but does not take that one."""
        owner = self._owner[tp]
        size = len(self._found[owner])
        before = self._previous.get(tp)
        if before in self._found and size > len(self._found[before]) + 1:
            return before
        if any(size > len(self._found.get(other, ())) + 1 for other in self._readers[tp.topic]):
            return next(member for _, member in self._sorted if tp.topic in self._wants[member])
        return None

    def _move(self, wanted: TopicPartition, new: str) -> None:
        tp = self._movements.instead_of(wanted, self._owner[wanted], new)
        old = self._owner[tp]
        self._movements.note(tp, old, new)
        size = len(self._found[old])
        self._found[old].remove(tp)
        self._resort(old, size, size - 1)
        size = len(self._found[new])
        self._found[new].append(tp)
        self._resort(new, size, size + 1)
        self._owner[tp] = new


def _score(assignment: Assignment) -> int:
    """The sum of all differences between two members; 0 is even."""
    sizes = [len(partitions) for partitions in assignment.values()]
    return sum(abs(one - other) for index, one in enumerate(sizes) for other in sizes[:index])
