"""Where the replicas of new partitions go (Kafka: ``StripedReplicaPlacer``).

Racks take turns, and within a rack the brokers do; leaders are spread like any other replica. A fenced broker never
leads and is taken only when its rack has nobody else.
"""

from __future__ import annotations

import typing

import attrs

from kafsim.protocol.entropy import Entropy

T = typing.TypeVar("T")


class PlacementError(Exception):
    """Kafka: InvalidReplicationFactorException; the message is Kafka's."""


@attrs.frozen
class Usable:
    id: int
    rack: str | None
    fenced: bool


class _BrokerList:
    """Gives its brokers in turn, from another start in each epoch."""

    def __init__(self) -> None:
        self.brokers: list[int] = []
        self._epoch = 0
        self._index = 0
        self._offset = 0

    def initialize(self, entropy: Entropy) -> None:
        self.brokers.sort()
        if self.brokers:
            self._offset = entropy.below(len(self.brokers))

    def shuffle(self, entropy: Entropy) -> None:
        _shuffle(self.brokers, entropy)

    def next(self, epoch: int) -> int:
        if not self.brokers:
            return -1
        if self._epoch != epoch:
            self._epoch, self._index = epoch, 0
            self._offset = (self._offset + 1) % len(self.brokers)
        if self._index >= len(self.brokers):
            return -1
        broker = self.brokers[(self._index + self._offset) % len(self.brokers)]
        self._index += 1
        return broker


class _Rack:
    def __init__(self) -> None:
        self.fenced = _BrokerList()
        self.unfenced = _BrokerList()

    def next(self, epoch: int) -> int:
        broker = self.unfenced.next(epoch)
        return broker if broker >= 0 else self.fenced.next(epoch)


class _RackList:
    def __init__(self, brokers: list[Usable], entropy: Entropy) -> None:
        self._entropy = entropy
        self._racks: dict[str, _Rack] = {}
        self.usable = len(brokers)
        self.unfenced = sum(not broker.fenced for broker in brokers)
        for broker in brokers:
            rack = self._racks.setdefault(broker.rack or "", _Rack())
            (rack.fenced if broker.fenced else rack.unfenced).brokers.append(broker.id)
        for rack in self._racks.values():
            rack.fenced.initialize(entropy)
            rack.unfenced.initialize(entropy)
        self._names = sorted(self._racks)
        self._offset = entropy.below(len(self._names)) if self._names else 0
        self._epoch = 0

    def place(self, replication_factor: int) -> tuple[int, ...]:
        if self._epoch == self.unfenced and self.unfenced > 1:
            self._shuffle()
        if self._offset == len(self._names):
            self._offset = 0
        chosen, leader_rack = [], self._offset
        while True:
            leader = self._racks[self._names[leader_rack]].unfenced.next(self._epoch)
            if leader >= 0:
                break
            leader_rack = (leader_rack + 1) % len(self._names)
        chosen.append(leader)
        index = self._offset
        while len(chosen) < replication_factor:
            broker = -1
            if index == leader_rack:
                leader_rack = -1
            else:
                broker = self._racks[self._names[index]].next(self._epoch)
            index = (index + 1) % len(self._names)
            if broker >= 0:
                chosen.append(broker)
        self._epoch += 1
        self._offset += 1
        return tuple(chosen)

    def _shuffle(self) -> None:
        _shuffle(self._names, self._entropy)
        for rack in self._racks.values():
            rack.fenced.shuffle(self._entropy)
            rack.unfenced.shuffle(self._entropy)
        self._epoch = 0


def _shuffle(values: list[T], entropy: Entropy) -> None:
    for last in range(len(values) - 1, 0, -1):
        other = entropy.below(last + 1)
        values[last], values[other] = values[other], values[last]


def place(brokers: list[Usable], partitions: int, replication_factor: int, entropy: Entropy) -> list[tuple[int, ...]]:
    """The replicas of each new partition; PlacementError when there are not enough brokers."""
    if replication_factor <= 0:
        raise PlacementError(
            f"Invalid replication factor {replication_factor}: the replication factor must be positive."
        )
    racks = _RackList(brokers, entropy)
    if not racks.unfenced:
        raise PlacementError("All brokers are currently fenced, or have all their log directories cordoned.")
    if replication_factor > racks.usable:
        raise PlacementError(
            f"The target replication factor of {replication_factor} cannot be reached because only {racks.usable} "
            "broker(s) are registered or some brokers have all their log directories cordoned."
        )
    return [racks.place(replication_factor) for _ in range(partitions)]
