"""How long each partition of a group was read by nobody while its members changed, from the facts of the consumers."""

from __future__ import annotations

from kafsim.cluster.world import Stated
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import world as wf
from kafsim.protocol.facts.fact import STATE


class Consumption:
    """From when a partition is given up, lost, or its reader dies, until somebody has it.

    What nobody has any more at the end is counted apart.
    """

    level = STATE

    def __init__(self) -> None:
        self._readers: dict[tuple[str, str], str] = {}
        self._since: dict[tuple[str, str], int] = {}
        self._torn: dict[tuple[str, str], None] = {}
        """What was not given up by its last reader."""
        self._held: dict[str, list[tuple[str, str]]] = {}
        """By a reader that is paused, when it was."""
        self._unread_us: dict[tuple[str, str], int] = {}

    def on_fact(self, stated: Stated) -> None:
        node, fact, now = str(stated.node), stated.fact, stated.time
        match fact:
            case kf.PartitionsAssigned():
                for name in fact.assigned:
                    self._begin((fact.group, name), node, now)
            case kf.PartitionsRevoked() | kf.PartitionsLost():
                for name in fact.partitions:
                    self._end((fact.group, name), node, now)
                    if isinstance(fact, kf.PartitionsLost):
                        self._torn[fact.group, name] = None
            case wf.NodeKilled() | wf.NodeStopped() | wf.NodePaused():
                held = [key for key, reader in self._readers.items() if reader == node]
                for key in held:
                    self._end(key, node, now)
                    self._torn[key] = None
                if isinstance(fact, wf.NodePaused):
                    self._held[node] = held
            case wf.NodeResumed():
                for key in self._held.pop(node, ()):
                    if key not in self._readers:  # else another one has got it meanwhile
                        self._begin(key, node, now)

    def _begin(self, key: tuple[str, str], node: str, now: int) -> None:
        self._readers[key] = node
        self._torn.pop(key, None)
        since = self._since.pop(key, None)
        if since is not None:
            self._unread_us[key] = self._unread_us.get(key, 0) + now - since

    def _end(self, key: tuple[str, str], node: str, now: int) -> None:
        if self._readers.get(key) == node:
            del self._readers[key]
            self._since[key] = now

    def abandoned(self) -> dict[str, tuple[str, ...]]:
        """By group, what it has read and nobody reads at the end; of a group that all have left there is nothing."""
        found: dict[str, tuple[str, ...]] = {}
        is_there = {group for group, _ in (*self._readers, *self._torn)}
        for group, name in sorted(self._since):
            if group in is_there:
                found[group] = (*found.get(group, ()), name)
        return found

    def finish(self) -> dict[str, dict[str, float]]:
        """Seconds for each partition that a group has read, by group."""
        found: dict[str, dict[str, float]] = {}
        for group, name in sorted(dict.fromkeys((*self._readers, *self._since, *self._unread_us))):
            found.setdefault(group, {})[name] = self._unread_us.get((group, name), 0) / 1e6
        return found
