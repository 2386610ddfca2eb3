"""How a member comes from what it has to what it shall have (Kafka: ``CurrentAssignmentBuilder``; KIP-848).

A member first gives up what its target does not have, in its old epoch. Only when it has said so does it get the epoch
of the target, and with it what is new for it and free; for the rest it waits until the owners have given it up.

    STABLE                 it has all of its target
    UNREVOKED_PARTITIONS   in its old epoch: it has to give up what is pending
    UNRELEASED_PARTITIONS  in the epoch of the target: others have not given up what it waits for

    STABLE       --another target epoch-->                       next
    UNREVOKED    --it owns nothing that is pending any more-->    next
    UNRELEASED   --whatever it says-->                            next
    next         --it has to give something up-->                 UNREVOKED
    next         --something is not free-->                       UNRELEASED
    next         --otherwise-->                                   STABLE

A change of its subscription takes the topics that it does not want any more away at once, before there is a target.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping

import attrs

from kafsim.coordinator.consumer_group import UNKNOWN_EPOCH, ConsumerGroupMember, MemberState, Owned, Target
from kafsim.coordinator.refusal import Refused
from kafsim.protocol import errors
from kafsim.protocol.uuid import Uuid

Claimed = Mapping[Uuid, Container[int]] | None
"""What a member says that it owns; None when it says nothing."""
UNKNOWN_STATE = (
    "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
)


@attrs.frozen(kw_only=True)
class Reconciliation:
    """``topics``: what the member subscribes to and exists. ``owner_epoch``: of a partition's owner, -1 if free.

    A static member that left for a while keeps what it had, with an epoch of -2.
    """

    target_epoch: int
    target: Target
    topics: Collection[Uuid]
    claimed: Claimed
    is_subscription_changed: bool
    owner_epoch: Callable[[Uuid, int], int]
    waits_until_released: bool = True

    def of(self, member: ConsumerGroupMember) -> ConsumerGroupMember:
        """The member after one step; itself when there is none to make."""
        match member.state:
            case MemberState.STABLE if member.epoch != self.target_epoch:
                return self._next(member, member.epoch)
            case MemberState.STABLE:
                return self._trim(member) if self.is_subscription_changed else member
            case MemberState.UNREVOKED_PARTITIONS if self._still_owns(member.pending):
                return self._trim(member) if self.is_subscription_changed else member
            case MemberState.UNREVOKED_PARTITIONS | MemberState.UNRELEASED_PARTITIONS:
                return self._next(member, member.epoch)
        if self.claimed is None or self.claimed:
            raise Refused(errors.FENCED_MEMBER_EPOCH, UNKNOWN_STATE)
        return self._next(member, self.target_epoch)

    def _still_owns(self, partitions: Owned) -> bool:
        """By its own word; who says nothing still has all."""
        if self.claimed is None:
            return True
        return any(p in self.claimed.get(topic, ()) for topic, parts in partitions.items() for p in parts)

    def _next(self, member: ConsumerGroupMember, epoch: int) -> ConsumerGroupMember:
        kept: dict[Uuid, Mapping[int, int]] = {}
        revoked: dict[Uuid, Mapping[int, int]] = {}
        new: dict[Uuid, list[int]] = {}
        waits = False
        for topic in dict.fromkeys((*self.target, *member.assigned)):
            wanted = self.target.get(topic, ()) if topic in self.topics else ()
            has, own = member.assigned.get(topic, {}), member.pending.get(topic, {})
            shall = frozenset(wanted)
            _set(kept, topic, {p: e for p, e in has.items() if p in shall})
            _set(revoked, topic, {p: e for p, e in has.items() if p not in shall})
            missing = [p for p in wanted if p not in has]
            free = [p for p in missing if p in own or self._is_free(topic, p)]
            waits = waits or len(free) < len(missing)
            if free:
                new[topic] = free
        if revoked and self._still_owns(revoked):
            return _with(member, epoch, MemberState.UNREVOKED_PARTITIONS, kept, revoked)
        for topic, partitions in new.items():
            kept[topic] = {**kept.get(topic, {}), **dict.fromkeys(partitions, self.target_epoch)}
        state = MemberState.UNRELEASED_PARTITIONS if waits else MemberState.STABLE
        return _with(member, self.target_epoch, state, kept, {})

    def _is_free(self, topic: Uuid, partition: int) -> bool:
        return not self.waits_until_released or self.owner_epoch(topic, partition) == UNKNOWN_EPOCH

    def _trim(self, member: ConsumerGroupMember) -> ConsumerGroupMember:
        kept = {topic: parts for topic, parts in member.assigned.items() if topic in self.topics}
        if len(kept) == len(member.assigned) and (self.topics or member.pending):
            return member
        pending = {topic: dict(parts) for topic, parts in member.pending.items()}
        for topic, parts in member.assigned.items():
            if topic not in self.topics:
                pending[topic] = {**pending.get(topic, {}), **parts}
        if pending and self._still_owns(pending):
            return _with(member, member.epoch, MemberState.UNREVOKED_PARTITIONS, kept, pending)
        return _with(member, member.epoch, member.state, kept, member.pending)


def _set(found: dict[Uuid, Mapping[int, int]], topic: Uuid, partitions: Mapping[int, int]) -> None:
    if partitions:
        found[topic] = partitions


def _with(
    member: ConsumerGroupMember, epoch: int, state: MemberState, assigned: Owned, pending: Owned
) -> ConsumerGroupMember:
    """The epoch before counts as the previous one, also where it stays."""
    return attrs.evolve(
        member, epoch=epoch, previous_epoch=member.epoch, state=state, assigned=assigned, pending=pending
    )
