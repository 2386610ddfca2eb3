"""What is told of consumer groups: members by their clients, partitions, committed offsets and lag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.cluster.ghosts import Ghosts
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import group as gf


class GroupLines:
    """``tell`` gives the line for a fact, empty for one that is not told; ``show`` the state of a group."""

    def __init__(self, ghosts: Ghosts) -> None:
        self._ghosts = ghosts
        self._clients: dict[str, str] = {}
        self._committed: dict[tuple[str, str], int] = {}
        self._lines: dict[type, Callable[[Any], str]] = {
            gf.CoordinatorLoading: lambda _: "",
            gf.CoordinatorLoaded: lambda f: (
                f"coordinates {_count(f.groups, 'group')} with {_count(f.offsets, 'committed offset')}"
                if f.groups
                else ""
            ),
            gf.CoordinatorUnloaded: lambda f: f"coordinates {_count(f.groups, 'group')} no longer" if f.groups else "",
            gf.GroupStateChanged: lambda f: f"{f.group}: {f.state} (was {f.was}), generation {f.generation}",
            gf.MemberAdded: self._added,
            gf.MemberRemoved: lambda f: f"{f.group}: {self._client(f.member)} is a member no more",
            gf.AssignmentStored: lambda f: f"{f.group}: the assignment of generation {f.generation} is committed",
            gf.OffsetsCommitted: self._committed_now,
            gf.GroupRequestRefused: lambda f: (
                f"{f.group}: refuses {f.request} of {self._client(f.member)} with {f.error}"
            ),
            gf.GroupRemoved: lambda f: f"{f.group}: the group is gone",
            kf.GroupAssignmentDecided: self._decided,
            kf.PartitionsAssigned: lambda f: (
                f"{f.group}: has {_names(f.assigned)} in generation {f.generation}"
                + (f", {_names(f.added)} of them new" if f.added and f.added != f.assigned else "")
            ),
            kf.PositionsFound: lambda f: (
                f"{f.group}: begins with " + ", ".join(f"{n} at {o}" if o >= 0 else n for n, o in f.positions)
            ),
            kf.PartitionsRevoked: lambda f: f"{f.group}: gives up {_names(f.partitions)}",
            kf.PartitionsLost: lambda f: f"{f.group}: has lost {_names(f.partitions)}",
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

    def _decided(self, fact: kf.GroupAssignmentDecided) -> str:
        given = "; ".join(f"{self._client(member)}: {_names(names)}" for member, names in fact.assigned)
        return f"{fact.group}: assigns by {fact.assignor}: {given}"

    def show(self, fact: gf.AssignmentStored) -> str:
        """Each member with its partitions, each of these with what is committed and how much is left."""
        told = [f"generation {fact.generation} leader {self._client(fact.leader)}"]
        for member, names in fact.assigned:
            told.append(f"{self._client(member)}: " + (", ".join(self._progress(fact.group, n) for n in names) or "-"))
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
