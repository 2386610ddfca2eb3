"""What is told of consumer groups: members by their clients, partitions, committed offsets and lag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.cluster.ghosts import Ghosts
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import group as gf

STABLE = "Stable"


class GroupLines:
    """``tell`` gives the line for a fact, empty for one that is not told; ``show`` the state of a group."""

    def __init__(self, ghosts: Ghosts) -> None:
        self._ghosts = ghosts
        self._clients: dict[str, str] = {}
        self._committed: dict[tuple[str, str], int] = {}
        self._members: dict[str, dict[str, gf.MemberReconciled]] = {}
        """Of groups of the consumer protocol."""
        self._lines: dict[type, Callable[[Any], str]] = {
            gf.CoordinatorLoading: lambda _: "",
            gf.CoordinatorLoaded: lambda f: (
                f"coordinates {_count(f.groups, 'group')} with {_count(f.offsets, 'committed offset')}"
                if f.groups
                else ""
            ),
            gf.CoordinatorUnloaded: lambda f: f"coordinates {_count(f.groups, 'group')} no longer" if f.groups else "",
            gf.GroupStateChanged: self._changed,
            gf.MemberAdded: self._added,
            gf.MemberRemoved: self._removed,
            gf.AssignmentStored: lambda f: f"{f.group}: the assignment of generation {f.generation} is committed",
            gf.ClassicGroupLoaded: self._classic_loaded,
            gf.ConsumerGroupLoaded: self._loaded,
            gf.GroupConverted: self._converted,
            gf.GroupEpochBumped: lambda f: f"{f.group}: group epoch {f.epoch}",
            gf.MemberReconciled: self._reconciled,
            gf.TargetAssigned: lambda f: f"{f.group}: target of epoch {f.epoch}: {self._given(f.assigned)}",
            gf.OffsetsCommitted: self._committed_now,
            gf.GroupRequestRefused: lambda f: (
                f"{f.group}: refuses {f.request} of {self._client(f.member)} with {f.error}"
            ),
            gf.GroupRemoved: self._gone,
            kf.GroupAssignmentDecided: self._decided,
            kf.PartitionsAssigned: lambda f: (
                f"{f.group}: has {_names(f.assigned)} in {self._word(f.group)} {f.generation}"
                + (f", {_names(f.added)} of them new" if f.added and f.added != f.assigned else "")
            ),
            kf.PositionsFound: lambda f: (
                f"{f.group}: begins with " + ", ".join(f"{n} at {o}" if o >= 0 else n for n, o in f.positions)
            ),
            kf.PartitionsRevoked: lambda f: f"{f.group}: gives up {_names(f.partitions)}",
            kf.PartitionsLost: lambda f: f"{f.group}: has lost {_names(f.partitions)}",
            kf.RefusedForGood: lambda f: f"{f.group}: is refused for good: {f.error}",
            kf.CommitFailed: lambda f: f"{f.group}: cannot commit where it is: {f.error}",
        }

    def __contains__(self, kind: type) -> bool:
        return kind in self._lines

    def tell(self, fact: Any) -> str:
        return self.readable(self._lines[type(fact)](fact))

    def readable(self, text: str) -> str:
        """With the names of clients for the ids of members, in reasons too."""
        for member, client in self._clients.items():
            text = text.replace(member, client)
        return text

    def _client(self, member: str) -> str:
        return self._clients.get(member, member or "nobody")

    def _added(self, fact: gf.MemberAdded) -> str:
        self._clients[fact.member] = fact.client
        static = f", instance id {fact.instance}" if fact.instance is not None else ""
        return f"{fact.group}: {fact.client} is a member{static}"

    def _committed_now(self, fact: gf.OffsetsCommitted) -> str:
        """Where it has moved."""
        moved = [(name, offset) for name, offset in fact.offsets if self._committed.get((fact.group, name)) != offset]
        self._committed.update({(fact.group, name): offset for name, offset in moved})
        told = ", ".join(self._progress(fact.group, name) for name, offset in moved if offset)
        return f"{fact.group}: {self._client(fact.member)} commits {told}" if told else ""

    # ------------------------------------------------------- groups of the consumer protocol

    def _word(self, group: str) -> str:
        return "epoch" if group in self._members else "generation"

    def _changed(self, fact: gf.GroupStateChanged) -> str:
        return f"{fact.group}: {fact.state} (was {fact.was}), {self._word(fact.group)} {fact.generation}"

    def _classic_loaded(self, fact: gf.ClassicGroupLoaded) -> str:
        self._members.pop(fact.group, None)
        return ""

    def _loaded(self, fact: gf.ConsumerGroupLoaded) -> str:
        self._members[fact.group] = {}
        return f"{fact.group}: group epoch {fact.epoch}, target of epoch {fact.target_epoch}"

    def _converted(self, fact: gf.GroupConverted) -> str:
        self._members.pop(fact.group, None)
        if fact.type == "consumer":
            self._members[fact.group] = {}
        return f"{fact.group}: from now on it is a {fact.type} group, in epoch {fact.epoch}"

    def _reconciled(self, fact: gf.MemberReconciled) -> str:
        self._members.setdefault(fact.group, {})[fact.member] = fact
        text = f"{fact.group}: {self._client(fact.member)} is in epoch {fact.epoch} and has {_names(fact.assigned)}"
        return text + (f"; it is to give up {_names(fact.pending)}" if fact.pending else "")

    def _removed(self, fact: gf.MemberRemoved) -> str:
        self._members.get(fact.group, {}).pop(fact.member, None)
        return f"{fact.group}: {self._client(fact.member)} is a member no more"

    def _gone(self, fact: gf.GroupRemoved) -> str:
        self._members.pop(fact.group, None)
        return f"{fact.group}: the group is gone"

    def _given(self, assigned: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
        return "; ".join(f"{self._client(member)}: {_names(names)}" for member, names in assigned)

    # ------------------------------------------------------------------------------ states

    def _decided(self, fact: kf.GroupAssignmentDecided) -> str:
        return f"{fact.group}: assigns by {fact.assignor}: {self._given(fact.assigned)}"

    def show(self, fact: Any) -> str:
        """Each member with its partitions, each of these with what is committed and how much is left.

        Once the assignment of a classic generation is committed, and when a consumer group is Stable; else nothing.
        """
        if isinstance(fact, gf.AssignmentStored):
            told = [f"generation {fact.generation} leader {self._client(fact.leader)}"]
            assigned = [(self._client(member), names) for member, names in fact.assigned]
        elif isinstance(fact, gf.GroupStateChanged) and fact.state == STABLE and fact.group in self._members:
            told = [f"epoch {fact.generation}"]
            members = sorted(self._members[fact.group].values(), key=lambda one: self._client(one.member))
            assigned = [(f"{self._client(one.member)} epoch {one.epoch}", one.assigned) for one in members]
        else:
            return ""
        for who, names in assigned:
            told.append(f"{who}: " + (", ".join(self._progress(fact.group, n) for n in names) or "-"))
        return " | ".join(told)

    def _progress(self, group: str, name: str) -> str:
        offset = self._committed.get((group, name))
        if offset is None:
            return name
        return f"{name} at {offset} lag {self._ghosts.of(name).true_high_watermark - offset}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
