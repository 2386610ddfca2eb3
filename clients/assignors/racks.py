"""Racks of members and partitions, as far as they make a difference (KIP-881)."""

from __future__ import annotations

from kafsim.clients.assignors.assignor import Subscriptions, Topics, is_rack_aware
from kafsim.protocol.types import TopicPartition


class RackInfo:
    """``members`` and ``partitions`` are empty where racks make no difference."""

    def __init__(self, topics: Topics, subscriptions: Subscriptions) -> None:
        self.members: dict[str, str] = {}
        self.partitions: dict[TopicPartition, frozenset[str]] = {}
        racks = {member: given.rack for member, given in subscriptions.items() if given.rack}
        if not racks:
            self._readers: dict[TopicPartition, int] = {}
            return
        known = {TopicPartition(t, i): at for t, all_racks in topics.items() for i, at in enumerate(all_racks)}
        of_rack: dict[str, int] = {}
        for rack in racks.values():
            of_rack[rack] = of_rack.get(rack, 0) + 1
        self._readers = {tp: sum(of_rack.get(rack, 0) for rack in at) for tp, at in known.items()}
        if is_rack_aware(set(racks.values()), list(known.values())):
            self.members, self.partitions = racks, known

    def mismatch(self, member: str, tp: TopicPartition) -> bool:
        rack = self.members.get(member)
        return rack is not None and rack not in self.partitions.get(tp, ())

    def fewest_readers_first(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Those that few members share a rack with, so that they get one of these."""
        return sorted(partitions, key=lambda tp: self._readers.get(tp, 0)) if self._readers else partitions

    def next_member(self, tp: TopicPartition, members: list[str], first: int) -> int | None:
        """The index of the next one, going round, whose rack the partition is in."""
        racks = self.partitions.get(tp)
        if not racks:
            return None
        for step in range(len(members)):
            index = (first + step) % len(members)
            if self.members.get(members[index]) in racks:
                return index
        return None
