"""Sticky, without giving up everything first (Kafka: ``CooperativeStickyAssignor``, KIP-429).

What one member is to give to another is given to nobody at first: it is revoked in one rebalance and assigned in the
next, while everything else is read on.
"""

from __future__ import annotations

import struct

from kafsim.clients.assignors.assignor import (
    COOPERATIVE,
    EAGER,
    Assignment,
    Subscription,
    Subscriptions,
    Topics,
)
from kafsim.clients.assignors.sticky import NO_GENERATION, AbstractStickyAssignor, MemberData
from kafsim.protocol.types import TopicPartition


class CooperativeStickyAssignor(AbstractStickyAssignor):
    name = "cooperative-sticky"
    supports = (COOPERATIVE, EAGER)

    def __init__(self) -> None:
        super().__init__()
        self._generation = NO_GENERATION

    def on_assignment(self, partitions: tuple[TopicPartition, ...], generation: int) -> None:
        self._generation = generation

    def user_data(self, topics: tuple[str, ...]) -> bytes | None:
        return struct.pack(">i", self._generation)

    def member_data(self, subscription: Subscription) -> MemberData:
        """The generation of the subscription itself, or of the data of older members."""
        if subscription.generation is not None:
            return MemberData(subscription.owned, subscription.generation)
        data = subscription.user_data
        if data is None:
            return MemberData(subscription.owned, None)
        generation = struct.unpack_from(">i", data)[0] if len(data) >= 4 else NO_GENERATION
        return MemberData(subscription.owned, generation)

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        found = super().assign(topics, subscriptions)
        transferring = _transferring(subscriptions, found) if self.transferring is None else self.transferring
        for tp, member in transferring.items():
            found[member].remove(tp)
        return found


def _transferring(subscriptions: Subscriptions, found: Assignment) -> dict[TopicPartition, str]:
    """What one member has and another one is to get."""
    revoked = {tp for member, given in found.items() for tp in subscriptions[member].owned if tp not in given}
    return {
        tp: member
        for member, given in found.items()
        for tp in given
        if tp in revoked and tp not in subscriptions[member].owned
    }
