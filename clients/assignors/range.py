"""Of each topic a range of partitions for each member (Kafka: ``RangeAssignor``).

The first members get one more when it does not come out even. With racks (KIP-881) each member first gets what has a
replica in its rack; topics that have the same members and as many partitions stay together, so that who reads partition
3 of one reads partition 3 of the others.
"""

from __future__ import annotations

from collections.abc import Callable

from kafsim.clients.assignors.assignor import Assignment, Assignor, Subscriptions, Topics, in_order, is_rack_aware
from kafsim.protocol.java import text_order
from kafsim.protocol.types import TopicPartition


class TopicState:
    """One topic while it is given out. ``members``: those who subscribe to it, in order, with their racks."""

    def __init__(self, topic: str, racks: tuple[frozenset[str], ...], members: dict[str, str]) -> None:
        self.topic = topic
        self.members = members
        self.unassigned = dict.fromkeys(range(len(racks)))
        self._assigned = dict.fromkeys(members, 0)
        self._each, self._extra = divmod(len(racks), len(members)) if members else (0, 0)
        known = {rack for rack in members.values() if rack}
        self._racks = racks if known else ()
        self.has_racks = bool(known)
        self.count = len(self._racks)
        self.needs_racks = bool(known) and is_rack_aware(known, list(racks))

    def matches(self, member: str, index: int) -> bool:
        """Has the partition a replica in the rack of this member? One without a rack matches all."""
        rack = self.members[member]
        return not rack or (index < len(self._racks) and rack in self._racks[index])

    def room(self, member: str) -> int:
        """How many more it may get."""
        return max(0, self._each + (self._extra > 0) - self._assigned[member])

    def assign(self, member: str, indexes: list[int], found: Assignment) -> None:
        self._assigned[member] += len(indexes)
        if self._assigned[member] > self._each:
            self._extra -= 1
        for index in indexes:
            self.unassigned.pop(index, None)
            found[member].append(TopicPartition(self.topic, index))

    def assign_ranges(self, found: Assignment, may: Callable[[str, int], bool] | None = None) -> None:
        for member in self.members:
            if not self.unassigned:
                return
            possible = [index for index in self.unassigned if may is None or may(member, index)]
            taken = possible[: self.room(member)]
            if taken:
                self.assign(member, taken, found)


class RangeAssignor(Assignor):
    name = "range"

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        found: Assignment = {member: [] for member in subscriptions}
        ordered = in_order(subscriptions)
        states = []
        for topic in text_order(topics):
            members = {m: subscriptions[m].rack for m in ordered if topic in subscriptions[m].topics}
            if topics[topic]:
                states.append(TopicState(topic, topics[topic], members))
        with_racks = any(state.needs_racks for state in states)
        if with_racks:
            _match_racks(states, found)
        for state in states:
            state.assign_ranges(found)
        if with_racks:
            for partitions in found.values():
                partitions.sort()
        return found


def _match_racks(states: list[TopicState], found: Assignment) -> None:
    groups: dict[tuple[tuple[tuple[str, str], ...], int], list[TopicState]] = {}
    for state in states:
        groups.setdefault((tuple(sorted(state.members.items())), state.count), []).append(state)
    for (_, count), together in groups.items():
        if len(together) > 1:
            _match_together(together, count, found)
        elif together[0].needs_racks:
            together[0].assign_ranges(found, together[0].matches)


def _match_together(states: list[TopicState], count: int, found: Assignment) -> None:
    left = list(states[0].members)
    for index in range(count):
        fits = (m for m in left if all(state.matches(m, index) and state.room(m) for state in states))
        member = next(fits, None)
        if member is None:
            continue
        for state in states:
            state.assign(member, [index], found)
        if not any(state.room(member) for state in states):
            left.remove(member)
