"""What an omniscient observer knows of consumer groups, from the facts of their coordinators and members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import attrs

from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import group as gf


class GhostMember(NamedTuple):
    """Of a consumer group: its epoch, what it has or has not given up, and the epoch before."""

    epoch: int
    partitions: frozenset[str]
    previous: int = -1


@attrs.define
class GhostGroup:
    """As its coordinators have stated it, and its members.

    ``is_consumer``: of the consumer protocol; ``generation`` is that of a classic one.
    """

    generation: int = 0
    """The last one whose assignment is committed."""
    owners: dict[tuple[int, str], str] = attrs.field(factory=dict)
    """Generation and partition, to the member that says it has it."""
    is_consumer: bool = False
    members: dict[str, GhostMember] = attrs.field(factory=dict)
    given: dict[str, str] = attrs.field(factory=dict)
    """Partition, to the member of a consumer group that has it or has not given it up; of several the first."""
    holders: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    """Partition, to the member and the node that says it reads it."""
    coordinator: str = ""
    """The newest one, or the only one so far."""
    coordinator_epoch: int = -1

    def is_loaded_by(self, node: str, leader_epoch: int) -> bool:
        """A coordinator has read the group: it is the newest one, unless it was frozen and tells that late."""
        is_newest = leader_epoch >= self.coordinator_epoch
        if is_newest:
            self.coordinator, self.coordinator_epoch = node, leader_epoch
        return is_newest

    def put(self, id_: str, member: GhostMember | None) -> None:
        """A member of a consumer group is now this, or is none any more."""
        before = self.members.pop(id_, None)
        for name in () if before is None else before.partitions:
            if self.given.get(name) == id_:
                del self.given[name]
        if member is not None:
            self.members[id_] = member._replace(previous=-1 if before is None else before.epoch)
            for name in sorted(member.partitions):
                self.given.setdefault(name, id_)

    def forget(self) -> None:
        """What is not known any more."""
        self.members.clear()
        self.given.clear()


class GroupGhosts:
    """Groups by their ids."""

    def __init__(self) -> None:
        self._groups: dict[str, GhostGroup] = {}

    def take(self, node: str, fact: object) -> None:
        handler = _HANDLERS.get(type(fact))
        if handler is not None:
            handler(self, node, fact)

    def get(self, id_: str) -> GhostGroup | None:
        return self._groups.get(id_)

    def forget_topic(self, topic: str) -> None:
        for group in self._groups.values():
            for table in (group.given, group.holders):
                for name in [name for name in table if name.rpartition("-")[0] == topic]:
                    del table[name]

    def told_by(self, node: str, id_: str) -> GhostGroup | None:
        """The group, if no newer coordinator has it than this node.

        One that was frozen tells late what it had written before, when it sees that it is committed.
        """
        group = self._groups.get(id_)
        return group if group is not None and group.coordinator in ("", node) else None

    def _told(self, node: str, id_: str) -> GhostGroup | None:
        """As ``told_by``; the first to tell of a group is its coordinator."""
        group = self._groups.setdefault(id_, GhostGroup())
        group.coordinator = group.coordinator or node
        return self.told_by(node, id_)

    # ---------------------------------------------------------------------------- handlers

    def _assigned(self, node: str, fact: gf.AssignmentStored) -> None:
        group = self._told(node, fact.group)
        if group is not None:
            group.generation = fact.generation

    def _owns(self, node: str, fact: kf.PartitionsAssigned) -> None:
        group = self._groups.setdefault(fact.group, GhostGroup())
        for name in fact.assigned:
            group.owners.setdefault((fact.generation, name), fact.member)
            if group.holders.get(name, ("", ""))[0] not in group.members:
                group.holders[name] = (fact.member, node)

    def _member_removed(self, node: str, fact: gf.MemberRemoved) -> None:
        """A static member's place, and what it has, may be another's in the same generation."""
        group = self._told(node, fact.group)
        if group is not None:
            group.owners = {key: owner for key, owner in group.owners.items() if owner != fact.member}
            group.put(fact.member, None)

    def _gives_up(self, node: str, fact: kf.PartitionsRevoked | kf.PartitionsLost) -> None:
        group = self._groups.get(fact.group)
        for name in fact.partitions if group is not None else ():
            if group is not None and group.holders.get(name, ("", ""))[1] == node:
                del group.holders[name]

    def _consumer_group_loaded(self, node: str, fact: gf.ConsumerGroupLoaded) -> None:
        """What the coordinator before has not committed is not known any more."""
        group = self._groups.setdefault(fact.group, GhostGroup())
        if group.is_loaded_by(node, fact.leader_epoch):
            group.is_consumer = True
            group.forget()

    def _classic_group_loaded(self, node: str, fact: gf.ClassicGroupLoaded) -> None:
        group = self._groups.setdefault(fact.group, GhostGroup())
        if group.is_loaded_by(node, fact.leader_epoch):
            group.is_consumer, group.generation = False, fact.generation
            group.forget()

    def _reconciled(self, node: str, fact: gf.MemberReconciled) -> None:
        group = self._told(node, fact.group)
        if group is not None:
            group.is_consumer = True
            group.put(fact.member, GhostMember(fact.epoch, frozenset((*fact.assigned, *fact.pending))))

    def _converted(self, node: str, fact: gf.GroupConverted) -> None:
        group = self._told(node, fact.group)
        if group is not None:
            group.is_consumer, group.generation = fact.type == "consumer", fact.epoch
            group.forget()

    def _removed(self, node: str, fact: gf.GroupRemoved) -> None:
        if self._told(node, fact.group) is not None:
            del self._groups[fact.group]


_HANDLERS: dict[type, Callable[[GroupGhosts, str, Any], None]] = {
    kf.PartitionsAssigned: GroupGhosts._owns,
    kf.PartitionsRevoked: GroupGhosts._gives_up,
    kf.PartitionsLost: GroupGhosts._gives_up,
    gf.ClassicGroupLoaded: GroupGhosts._classic_group_loaded,
    gf.ConsumerGroupLoaded: GroupGhosts._consumer_group_loaded,
    gf.MemberReconciled: GroupGhosts._reconciled,
    gf.GroupConverted: GroupGhosts._converted,
    gf.AssignmentStored: GroupGhosts._assigned,
    gf.MemberRemoved: GroupGhosts._member_removed,
    gf.GroupRemoved: GroupGhosts._removed,
}
