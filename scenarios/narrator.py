"""Tells a run line by line while it goes on: time, node, what happened, and the reason of a decision.

After each change of a partition's leader or ISR one line shows the replicas: log end and high watermark of each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from kafsim.cluster.ghosts import Ghosts
from kafsim.cluster.world import Stated
from kafsim.protocol.facts import broker as bf
from kafsim.protocol.facts import client as clf
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.facts import log as lf
from kafsim.protocol.facts import quorum as qf
from kafsim.protocol.facts import world as wf
from kafsim.protocol.facts.fact import DECISION, STATE, describe, level_of, reason
from kafsim.scenarios.narrator_groups import GroupLines

_LINES: dict[type, Callable[[Any], str]] = {
    wf.NodeStarted: lambda f: "starts again" if f.incarnation > 1 else "",
    wf.NodeKilled: lambda _: "is killed",
    wf.NodeHalted: lambda _: "halts: it cannot go on without its disk",
    wf.DiskFailed: lambda f: f"loses disk {f.disk}",
    wf.DiskRepaired: lambda f: f"has disk {f.disk} again, after its next start",
    wf.NodeStopped: lambda _: "has ended",
    wf.PowerFailed: lambda f: f"loses power, and {f.lost_bytes} bytes that were not flushed",
    wf.NodePaused: lambda _: "is paused",
    wf.NodeResumed: lambda f: f"goes on, {f.waiting} inputs were waiting",
    wf.LinkCut: lambda f: f"the link {f.source} -> {f.target} is cut",
    wf.LinkHealed: lambda f: f"the link {f.source} -> {f.target} is healed, {f.held} messages were held",
    wf.LinkSlowed: lambda f: f"the link {f.source} -> {f.target} takes {f.extra_us / 1_000:g} ms more",
    wf.FaultSkipped: lambda f: f"cannot {f.operation}: {f.why}",
    cf.BrokerRegistered: lambda f: f"registers broker {f.broker} with broker epoch {f.epoch}",
    cf.BrokerFenced: lambda f: f"fences broker {f.broker}",
    cf.BrokerUnfenced: lambda f: f"unfences broker {f.broker}",
    cf.LeaderElected: lambda f: (
        f"{f.topic}-{f.partition}: broker {f.leader} is elected in leader epoch {f.leader_epoch}"
        if f.leader >= 0
        else f"{f.topic}-{f.partition} has no leader (leader epoch {f.leader_epoch})"
    ),
    cf.IsrChanged: lambda f: f"{f.topic}-{f.partition}: ISR {_ids(f.isr)} (was {_ids(f.was)})",
    bf.BecameLeader: lambda f: f"leads {f.log} from offset {f.epoch_start} in leader epoch {f.leader_epoch}",
    bf.BecameFollower: lambda f: (
        f"follows broker {f.leader} in {f.log}, leader epoch {f.leader_epoch}"
        if f.leader >= 0
        else f"has no leader to follow in {f.log}, leader epoch {f.leader_epoch}"
    ),
    bf.LogDirectoryFailed: lambda f: f"uses {f.path} no longer: it cannot be read or written ({f.replicas} replicas)",
    bf.ReplicaMoveStarted: lambda f: f"copies {f.log} from {f.source} to {f.target}",
    bf.ReplicaMoved: lambda f: f"has {f.log} in {f.target} now, no longer in {f.source}",
    bf.ReplicaOffline: lambda f: f"has {f.log} offline",
    bf.ReplicationThrottled: lambda f: f"{'holds back' if f.held else 'lets go on'} the copying of {f.log}",
    bf.IsrProposed: lambda f: f"asks for the ISR {_ids(f.isr)} of {f.log} (was {_ids(f.was)})",
    bf.IsrProposalForgotten: lambda f: f"forgets that it asked for the ISR {_ids(f.proposed)} of {f.log}",
    bf.ProduceRefused: lambda f: (
        f"refuses a produce request to {f.log} with {f.error}"
        if f.error in ("NOT_ENOUGH_REPLICAS", "NOT_LEADER_OR_FOLLOWER")
        else f"answers a produce request to {f.log} with {f.error}; its records are in the log"
    ),
    cf.ControllerActivated: lambda f: f"is the active controller, in epoch {f.epoch}",
    cf.RegistrationRefused: lambda f: f"refuses to register broker {f.broker} with {f.error}",
    cf.ControlledShutdownStarted: lambda f: f"begins the controlled shutdown of broker {f.broker}",
    cf.ControlledShutdownAllowed: lambda f: f"lets broker {f.broker} shut down",
    cf.AlterPartitionRefused: lambda f: (
        f"refuses the ISR that broker {f.broker} asked for in {f.topic}-{f.partition} with {f.error}"
    ),
    qf.ControllerRenounced: lambda f: (
        f"is not the active controller any more; takes back what follows offset {f.reverted_to}"
    ),
    qf.VoteAnswered: lambda f: (
        f"{'votes' if f.granted else 'does not vote'} for {f.candidate} in epoch {f.epoch}" if not f.pre_vote else ""
    ),
    qf.VoterChangeRefused: lambda f: f"refuses to change voter {f.voter} with {f.error}",
    lf.AppendRefused: lambda f: f"does not append to {f.log}: {f.error}",
    lf.TornTailCut: lambda f: f"cuts the torn end of {f.log} at offset {f.to}",
    bf.TruncationDecided: lambda f: f"truncates {f.log} to offset {f.to}",
    lf.DuplicateFound: lambda f: f"{f.log}: a batch at offset {f.base_offset} was written already, answers it again",
    clf.BatchRetried: lambda f: f"sends {_records(f.records)} to {f.topic}-{f.partition} again",
    clf.BatchGivenUp: lambda f: f"gives up {_records(f.records)} to {f.topic}-{f.partition}",
    clf.ProducerEpochBumped: lambda f: f"raises its producer epoch to {f.producer_epoch}",
    clf.ProducerIdTaken: lambda f: f"has producer id {f.producer_id}, epoch {f.producer_epoch}",
}

_ROLES = {
    "Unattached": "looks for the leader of the quorum in epoch {epoch}",
    "Prospective": "asks whether it would be voted for",
    "Candidate": "stands for election in epoch {epoch}",
    "Leader": "leads the quorum in epoch {epoch}",
    "Follower": "follows {leader} in the quorum, epoch {epoch}",
    "Resigned": "resigns from epoch {epoch}",
}


def _ids(ids: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, ids)) + "]"


def _records(count: int) -> str:
    return f"{count} record{'s' * (count != 1)}"


def _is_internal(fact: Any) -> bool:
    """About a partition of a topic that only coordinators use."""
    name = getattr(fact, "log", None) or getattr(fact, "topic", None)
    return isinstance(name, str) and name.startswith(("__consumer_offsets", "__transaction_state"))


class Narrator:
    level = STATE

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._ghosts = Ghosts()
        self._acked = 0
        self._down: dict[str, None] = {}
        self._shown: dict[str, tuple[object, ...]] = {}
        self._groups = GroupLines(self._ghosts)

    def on_fact(self, stated: Stated) -> None:
        self._ghosts.take(stated)
        fact = stated.fact
        if isinstance(fact, (wf.NodeKilled, wf.NodeHalted, wf.NodeStopped, wf.PowerFailed)):
            self._down[str(stated.node)] = None
        elif isinstance(fact, wf.NodeStarted):
            self._down.pop(str(stated.node), None)
        if isinstance(fact, clf.SendAcknowledged):
            self._acked += fact.offset >= 0  # with acks=0 nobody acknowledges
            return
        if isinstance(fact, qf.QuorumRoleChanged):
            self._tell_role(stated, fact)
            return
        if isinstance(fact, qf.VotersChanged):
            self._tell_voters(stated, fact)
            return
        if type(fact) in self._groups:
            self._tell_group(stated, fact)
            return
        if _is_internal(fact):
            return
        line = _LINES.get(type(fact))
        if line is not None or level_of[type(fact)] == DECISION:
            told = line(fact) if line else describe(fact)
            if told:
                self._tell(stated.time, str(stated.node), told, reason(fact))
        if isinstance(fact, cf.PartitionRegistered):
            self._show(stated.time, fact)

    def _tell_group(self, stated: Stated, fact: Any) -> None:
        told, why = self._groups.tell(fact), reason(fact)
        if told:
            self._tell(stated.time, str(stated.node), told, None if why is None else self._groups.readable(why))
        shown = self._groups.show(fact)
        if shown:
            self._tell(stated.time, fact.group, shown, None)

    def _tell_role(self, stated: Stated, fact: qf.QuorumRoleChanged) -> None:
        """Of a voter among several; the only one has nobody to agree with, and observers follow."""
        node = str(stated.node)
        if fact.is_voter and len(self._ghosts.quorum.voters.get(node, ())) > 1:
            told = _ROLES[fact.role].format(epoch=fact.epoch, leader=fact.leader)
            self._tell(stated.time, node, told, reason(fact))

    def _tell_voters(self, stated: Stated, fact: qf.VotersChanged) -> None:
        """When the leader writes them."""
        if fact.at >= 0 and str(stated.node) in self._ghosts.metadata.leading:
            voters = ", ".join(map(str, fact.voters))
            self._tell(stated.time, str(stated.node), f"the voters are {voters} from offset {fact.at} on", None)

    def _tell(self, time: int, node: str, what: str, why: str | None) -> None:
        self._out.write(f"{time / 1e6:11.6f}  {node:14}  {what}\n")
        if why:
            self._out.write(f"{'':29}because {why}\n")

    def _show(self, time: int, fact: cf.PartitionRegistered) -> None:
        name = f"{fact.topic}-{fact.partition}"
        now = (fact.leader, fact.leader_epoch, fact.isr, fact.elr, fact.last_known_elr)
        if self._shown.get(name) == now or fact.topic.startswith("__"):
            return
        self._shown[name] = now
        logs = self._ghosts.of(name).logs
        ends = []
        for replica in fact.replicas:
            log = logs.get(f"broker-{replica}")
            end = "-" if log is None else f"end {log.end} hw {log.high_watermark}"
            ends.append(f"{replica}: {end}" + (" (down)" if f"broker-{replica}" in self._down else ""))
        leader = "none" if fact.leader < 0 else str(fact.leader)
        elr = f" ELR {_ids(fact.elr)}" if fact.elr else ""
        head = f"leader {leader} epoch {fact.leader_epoch} ISR {_ids(fact.isr)}{elr}"
        self._tell(time, name, " | ".join([head, *ends, f"acked {self._acked}"]), None)
