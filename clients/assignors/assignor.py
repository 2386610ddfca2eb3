"""What an assignor is given and what it gives (Kafka: ``ConsumerPartitionAssignor``, ``AbstractPartitionAssignor``).

The leader of a classic group assigns; every member brings the subscription of its assignors. An assignor of your own is
a subclass of :class:`Assignor`, given to the consumer in ``partition.assignment.strategy``.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kafsim.protocol.types import TopicPartition

EAGER, COOPERATIVE = "eager", "cooperative"

Racks = frozenset[str]
Topics = Mapping[str, tuple[Racks, ...]]
"""Of each topic that somebody subscribes to and that is known: the racks of the replicas of each partition."""
Assignment = dict[str, list[TopicPartition]]
"""What each member gets."""


@attrs.frozen(kw_only=True)
class Subscription:
    """What one member says. ``owned`` and ``generation``: what it holds, and since which generation."""

    topics: tuple[str, ...]
    user_data: bytes | None = None
    owned: tuple[TopicPartition, ...] = ()
    generation: int | None = None
    instance_id: str | None = None
    rack: str = ""
    """Empty for none."""


Subscriptions = Mapping[str, Subscription]
"""By member, in the order in which Kafka's leader would walk them; where members are equal, it decides."""


class Assignor:
    """Stays with its consumer; ``supports`` are the protocols of rebalancing that it can be used with."""

    name = ""
    supports: tuple[str, ...] = (EAGER,)

    def user_data(self, topics: tuple[str, ...]) -> bytes | None:
        """What goes with the subscription to the leader."""
        return None

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        """Every member is in the answer, with a list that may be empty."""
        raise NotImplementedError

    def on_assignment(self, partitions: tuple[TopicPartition, ...], generation: int) -> None:
        """What this member got."""


def in_order(subscriptions: Subscriptions) -> list[str]:
    """The members: the static ones first, by their instance ids, then the others by member id."""

    def key(member: str) -> tuple[bool, str]:
        instance = subscriptions[member].instance_id
        return (instance is None, member if instance is None else instance)

    return sorted(subscriptions, key=key)


def is_rack_aware(member_racks: set[str], racks_of_partitions: list[Racks]) -> bool:
    """Can racks make a difference? Not when no member shares one, nor when every partition is in all of them."""
    everywhere = frozenset().union(*racks_of_partitions)
    if member_racks.isdisjoint(everywhere):
        return False
    return any(racks != everywhere for racks in racks_of_partitions)
