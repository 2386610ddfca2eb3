"""As even as can be, and as much as can be as it was (Kafka: ``AbstractStickyAssignor``, ``StickyAssignor``).

Where all members subscribe to the same topics a quota says how many each gets (:mod:`constrained`); otherwise
partitions move one by one until nobody can get more by it (:mod:`general`). What two members claim goes to the one with
the newer generation, and is taken from both when that is the same.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from kafsim.clients.assignors.assignor import Assignment, Assignor, Subscription, Subscriptions, Topics
from kafsim.clients.assignors.constrained import ConstrainedAssignment
from kafsim.clients.assignors.general import GeneralAssignment, Previous
from kafsim.clients.assignors.racks import RackInfo
from kafsim.protocol.java import text_order
from kafsim.protocol.types import TopicPartition, by_topic

NO_GENERATION = -1


class MemberData(NamedTuple):
    """What a member held, and since when."""

    partitions: tuple[TopicPartition, ...]
    generation: int | None


class AbstractStickyAssignor(Assignor):
    """``transferring``: what one member gives and another gets; None where the algorithm did not find out."""

    def __init__(self) -> None:
        self.transferring: dict[TopicPartition, str] | None = {}
        self._newest = NO_GENERATION

    def member_data(self, subscription: Subscription) -> MemberData:
        raise NotImplementedError

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        held = {member: self.member_data(given) for member, given in subscriptions.items()}
        for data in held.values():
            self._newest = max(self._newest, NO_GENERATION if data.generation is None else data.generation)
        owned, contested = _claims(topics, subscriptions, held)
        racks = RackInfo(topics, subscriptions)
        if _all_equal(subscriptions):
            builder = ConstrainedAssignment(topics, racks, owned, contested)
            found = builder.build()
            self.transferring = builder.transferring
            return found
        self.transferring = None
        return GeneralAssignment(topics, racks, owned, subscriptions, self._previous(held)).build()

    def _previous(self, held: dict[str, MemberData]) -> Previous:
        """Who had a partition in an older generation, the newest of those."""
        found: dict[TopicPartition, tuple[str, int]] = {}
        for member, data in held.items():
            generation = NO_GENERATION if data.generation is None else data.generation
            if generation < self._newest:
                for tp in data.partitions:
                    if tp not in found or generation > found[tp][1]:
                        found[tp] = (member, generation)
        return {tp: member for tp, (member, _) in found.items()}


def _all_equal(subscriptions: Subscriptions) -> bool:
    """To the same topics. Members without a subscription that come before the first one with some do not count."""
    first: frozenset[str] = frozenset()
    for subscription in subscriptions.values():
        if not first:
            first = frozenset(subscription.topics)
        elif len(subscription.topics) != len(first) or not first.issuperset(subscription.topics):
            return False
    return True


def _claims(
    topics: Topics, subscriptions: Subscriptions, held: dict[str, MemberData]
) -> tuple[dict[str, list[TopicPartition]], dict[TopicPartition, None]]:
    """What each member keeps of its claims, and what several claim in one generation.

    Kafka compares the generation that a member's assignor tells with that of the other one's subscription.
    """
    owned: dict[str, list[TopicPartition]] = {}
    owners: dict[TopicPartition, str] = {}
    contested: dict[TopicPartition, None] = {}
    for member, data in held.items():
        mine = owned[member] = []
        generation = NO_GENERATION if data.generation is None else data.generation
        for tp in data.partitions:
            if tp.topic not in topics:
                continue
            other = owners.get(tp)
            told = None if other is None else subscriptions[other].generation
            other_generation = NO_GENERATION if told is None else told
            if other is not None and generation < other_generation:
                continue
            owners[tp] = member
            if other is None or generation > other_generation:
                mine.append(tp)
            else:
                contested[tp] = None
            if other is not None and tp in owned[other]:
                owned[other].remove(tp)
    return owned, contested


class StickyAssignor(AbstractStickyAssignor):
    """Eager: each member tells what it had in its own data, since it gives up all of it before it joins."""

    name = "sticky"

    def __init__(self) -> None:
        super().__init__()
        self._assigned: tuple[TopicPartition, ...] | None = None
        self._generation = NO_GENERATION

    def on_assignment(self, partitions: tuple[TopicPartition, ...], generation: int) -> None:
        self._assigned, self._generation = partitions, generation

    def user_data(self, topics: tuple[str, ...]) -> bytes | None:
        return None if self._assigned is None else encode_assigned(self._assigned, self._generation)

    def member_data(self, subscription: Subscription) -> MemberData:
        return decode_assigned(subscription.user_data) if subscription.user_data else MemberData((), None)


def encode_assigned(partitions: tuple[TopicPartition, ...], generation: int) -> bytes:
    """Topics, each with its partitions, and the generation."""
    topics = by_topic(partitions)
    out = struct.pack(">i", len(topics))
    for topic in text_order(topics):
        name, indexes = topic.encode(), topics[topic]
        out += struct.pack(f">h{len(name)}si{len(indexes)}i", len(name), name, len(indexes), *indexes)
    return out + struct.pack(">i", generation)


def decode_assigned(data: bytes) -> MemberData:
    """An older form lacks the generation; what cannot be read says nothing."""
    try:
        partitions, at = _decode_partitions(data)
    except (struct.error, UnicodeDecodeError, ValueError):
        return MemberData((), NO_GENERATION)
    if len(data) - at < 4:
        return MemberData(partitions, None)
    return MemberData(partitions, struct.unpack_from(">i", data, at)[0])


def _decode_partitions(data: bytes) -> tuple[tuple[TopicPartition, ...], int]:
    (topics,), at = struct.unpack_from(">i", data), 4
    found: list[TopicPartition] = []
    for _ in range(topics):
        (size,) = struct.unpack_from(">h", data, at)
        (name,) = struct.unpack_from(f">{size}s", data, at + 2)
        at += 2 + size
        (count,) = struct.unpack_from(">i", data, at)
        if count < 0 or count * 4 > len(data) - at:
            raise ValueError(f"{count} partitions do not fit")
        topic = name.decode()
        found += [TopicPartition(topic, index) for index in struct.unpack_from(f">{count}i", data, at + 4)]
        at += 4 + 4 * count
    return tuple(found), at
