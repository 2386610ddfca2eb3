"""How long each partition had nobody to write to: without a leader that serves clients, from the facts.

A leader that refuses for another reason (too few replicas in sync) is there; the latencies and failures tell of that.
"""

from __future__ import annotations

from kafsim.cluster.world import Stated
from kafsim.protocol.facts import broker as bf
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.facts import world as wf
from kafsim.protocol.facts.fact import STATE


class Availability:
    """A partition is available while the broker that the controller names leads it, is registered, and serves."""

    level = STATE

    def __init__(self) -> None:
        self._registered: dict[str, tuple[str, int]] = {}
        self._leading: dict[str, dict[str, int]] = {}
        self._stopped: dict[str, None] = {}
        self._serving: dict[str, None] = {}
        self._since: dict[str, int] = {}
        self._seen: dict[str, None] = {}
        self.unavailable_us: dict[str, int] = {}

    def on_fact(self, stated: Stated) -> None:
        node, fact = str(stated.node), stated.fact
        match fact:
            case cf.PartitionRegistered():
                self._registered[f"{fact.topic}-{fact.partition}"] = (f"broker-{fact.leader}", fact.leader_epoch)
            case bf.BecameLeader():
                self._leading.setdefault(node, {})[fact.log] = fact.leader_epoch
            case bf.BecameFollower():
                self._leading.get(node, {}).pop(fact.log, None)
            case bf.BrokerStateChanged():
                if fact.state == "RUNNING":
                    self._serving[node] = None
                else:
                    self._serving.pop(node, None)
            case wf.NodeKilled() | wf.NodeHalted() | wf.NodeStopped() | wf.PowerFailed():
                self._leading.pop(node, None)
                self._serving.pop(node, None)
            case wf.NodePaused():
                self._stopped[node] = None
            case wf.NodeResumed():
                self._stopped.pop(node, None)
            case _:
                return
        self._look(stated.time)

    def _look(self, now: int) -> None:
        for log, (leader, epoch) in self._registered.items():
            leads = self._leading.get(leader, {}).get(log) == epoch
            led = leads and leader in self._serving and leader not in self._stopped
            if led:
                self._seen[log] = None
                since = self._since.pop(log, None)
                if since is not None:
                    self.unavailable_us[log] = self.unavailable_us.get(log, 0) + now - since
            elif log in self._seen:
                self._since.setdefault(log, now)

    def finish(self, now: int) -> dict[str, float]:
        """Seconds for each partition that was ever led."""
        for log, since in self._since.items():
            self.unavailable_us[log] = self.unavailable_us.get(log, 0) + now - since
        self._since.clear()
        return {log: self.unavailable_us.get(log, 0) / 1e6 for log in self._seen}
