"""Sticky, for members that all subscribe to the same topics (Kafka: ``ConstrainedAssignmentBuilder``).

With n partitions and m members everybody gets n // m, and n % m members one more. Each keeps what it had up to that;
the first ones that had more keep the larger share. The rest goes round.
"""

from __future__ import annotations

from collections.abc import Iterable

from kafsim.clients.assignors.assignor import Assignment, Topics
from kafsim.clients.assignors.racks import RackInfo
from kafsim.protocol.types import TopicPartition


class AssignmentError(Exception):
    """Kafka's assignor fails here too, with IllegalStateException."""


def without(partitions: Iterable[TopicPartition], assigned: list[TopicPartition]) -> list[TopicPartition]:
    """The rest, in order; both are in the same order.

    Kafka compares as it walks: behind an assigned partition that is not among them it takes all for the rest.
    """
    found, at = [], 0
    for tp in partitions:
        if at < len(assigned) and assigned[at] == tp:
            at += 1
        else:
            found.append(tp)
    return found


class ConstrainedAssignment:
    """``owned``: what each member keeps of its claims; ``contested``: what several claim alike.

    ``transferring``: what is known to have another owner still, with its new one.
    """

    def __init__(
        self,
        topics: Topics,
        racks: RackInfo,
        owned: dict[str, list[TopicPartition]],
        contested: dict[TopicPartition, None],
    ) -> None:
        self.transferring: dict[TopicPartition, str] = {}
        self._topics = topics
        self._racks = racks
        self._owned = owned
        self._contested = contested
        total = sum(map(len, topics.values()))
        self._least, self._with_most = divmod(total, len(owned)) if owned else (0, 0)
        self._most = self._least + (self._with_most > 0)
        self._have_most = 0
        self._revoked: dict[TopicPartition, str] = {}
        self._under: list[str] = []
        """Members with less than the least."""
        self._exact: list[str] = []
        """With just the least, that may get one more."""
        self._found: Assignment = {member: [] for member in owned}

    def build(self) -> Assignment:
        for member, partitions in self._owned.items():
            self._keep(member, self._usable(member, partitions))
        kept = sorted(tp for partitions in self._found.values() for tp in partitions)
        every = (TopicPartition(topic, i) for topic in sorted(self._topics) for i in range(len(self._topics[topic])))
        unassigned = self._racks.fewest_readers_first(without(every, kept))
        self._under.sort()
        self._exact.sort()
        if self._racks.members:
            unassigned = self._by_racks(unassigned)
        self._go_round(unassigned)
        self._check()
        return self._found

    def _usable(self, member: str, partitions: list[TopicPartition]) -> list[TopicPartition]:
        found = []
        for tp in partitions:
            if self._racks.mismatch(member, tp):
                self._revoked[tp] = member
            elif tp not in self._contested:
                found.append(tp)
        return sorted(found, key=lambda tp: (tp.partition, tp.topic))

    def _keep(self, member: str, usable: list[TopicPartition]) -> None:
        share = self._least
        if len(usable) < self._least:
            self._under.append(member)
        elif len(usable) >= self._most and self._have_most < self._with_most:
            share = self._most
            self._count_most()
        elif self._have_most < self._with_most:
            self._exact.append(member)
        self._found[member] += usable[:share]
        for tp in usable[share:]:
            self._revoked[tp] = member

    def _count_most(self) -> None:
        self._have_most += 1
        if self._have_most == self._with_most:
            self._exact.clear()

    def _by_racks(self, unassigned: list[TopicPartition]) -> list[TopicPartition]:
        """To members whose rack it is in; what is left."""
        left, turn = [], 0
        for tp in unassigned:
            index = self._racks.next_member(tp, self._under, turn)
            if index is not None:
                member = self._under[index]
                size = len(self._found[member]) + 1
                if size >= self._least:
                    del self._under[index]
                    if size < self._most and self._have_most < self._with_most:
                        self._exact.append(member)
                else:
                    index += 1
                turn = index % len(self._under) if self._under else 0
                self._assign(tp, member)
            elif not self._by_rack_to_exact(tp):
                left.append(tp)
        return left

    def _by_rack_to_exact(self, tp: TopicPartition) -> bool:
        index = self._racks.next_member(tp, self._exact, 0)
        if index is None:
            return False
        member = self._exact[index]
        if len(self._found[member]) + 1 == self._most:
            del self._exact[index]
            self._count_most()
        self._assign(tp, member)
        return True

    def _go_round(self, unassigned: list[TopicPartition]) -> None:
        turn = 0
        for tp in unassigned:
            if self._under:
                turn %= len(self._under)
                member = self._under[turn]
                self._assign(tp, member)
                if len(self._found[member]) == self._least:
                    del self._under[turn]
                    self._exact.append(member)
                    if turn == len(self._under):
                        turn = 0
                else:
                    self._note_most(member)
                    turn += 1
            elif self._exact:
                member = self._exact.pop(0)
                self._assign(tp, member)
                self._note_most(member)
            else:
                raise AssignmentError("No more unfilled consumers to be assigned.")

    def _note_most(self, member: str) -> None:
        self._have_most += len(self._found[member]) == self._most

    def _assign(self, tp: TopicPartition, member: str) -> None:
        self._found[member].append(tp)
        if self._revoked.get(tp, member) != member or tp in self._contested:
            self.transferring[tp] = member

    def _check(self) -> None:
        if not self._under:
            return
        if self._have_most != self._with_most:
            text = "We haven't reached the expected number of members with more than the minQuota partitions, "
            raise AssignmentError(f"{text}but no more partitions to be assigned")
        for member in self._under:
            if len(self._found[member]) != self._least:
                text = f"Consumer: [{member}] doesn't reach minQuota partitions, and no more partitions to be assigned"
                raise AssignmentError(text)
