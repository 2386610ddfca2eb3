"""What an omniscient observer knows of the replicas, from the facts alone; invariants look at it, never at the cores.

Per partition: the controller's view, the logs of all replicas as batches ``(base, last, epoch, crc, producer...)``, and
what was ever committed. A batch's epoch and CRC are its identity wherever it is copied.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs

from kafsim.cluster.group_ghosts import GroupGhosts
from kafsim.cluster.world import Stated
from kafsim.protocol.facts import broker as bf
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.facts import log as lf
from kafsim.protocol.facts import quorum as qf
from kafsim.protocol.facts import world as wf

METADATA = "__cluster_metadata-0"


class GhostBatch(NamedTuple):
    base: int
    last: int
    epoch: int
    crc: int

    def __str__(self) -> str:
        return f"[{self.base}..{self.last} epoch {self.epoch} crc {self.crc:08x}]"


@attrs.define
class GhostLog:
    """One replica's log. It outlives the process that wrote it."""

    batches: list[GhostBatch] = attrs.field(factory=list)
    start: int = 0
    end: int = 0
    high_watermark: int = 0
    agreed: int = 0
    """Below this offset it was compared with what is committed."""
    compacted: int = 0
    """Below it some replica has been compacted, so that batches may differ from replica to replica."""
    sequences: dict[tuple[int, int], list[tuple[int, int]]] = attrs.field(factory=dict)
    """(producer id, epoch) to the (offset, last sequence) of its batches."""

    def append(self, batch: GhostBatch) -> None:
        self.batches.append(batch)
        self.end = batch.last + 1

    def truncate(self, to: int) -> None:
        while self.batches and self.batches[-1].last >= to:
            self.batches.pop()
        self.end = to
        self.high_watermark = min(self.high_watermark, to)
        self.agreed = min(self.agreed, to)
        for written in self.sequences.values():
            while written and written[-1][0] >= to:
                written.pop()

    def from_offset(self, offset: int) -> list[GhostBatch]:
        index = bisect_left(self.batches, offset, key=lambda batch: batch.base)
        if index and self.batches[index - 1].last >= offset:
            index -= 1
        return self.batches[index:]

    def holds(self, batch: GhostBatch) -> bool:
        """Is exactly this batch in it, or already below its start, or where it may have been compacted?"""
        if batch.last < max(self.start, self.compacted):
            return True
        index = bisect_left(self.batches, batch.base, key=lambda known: known.base)
        return index < len(self.batches) and self.batches[index] == batch

    def epoch_at(self, offset: int) -> int | None:
        """Of the batch that has this offset; None where there is none."""
        index = bisect_left(self.batches, offset, key=lambda batch: batch.last)
        found = index < len(self.batches) and self.batches[index].base <= offset
        return self.batches[index].epoch if found else None


class Forgotten(NamedTuple):
    """At which partition epoch; ``is_counted``: the leader has heard that it is in the ISR."""

    partition_epoch: int
    is_counted: bool = False


@attrs.define
class GhostPartition:
    """``true_high_watermark``: the largest that any leader ever reached."""

    registered: cf.PartitionRegistered | None = None
    registered_before: cf.PartitionRegistered | None = None
    min_isrs: list[tuple[int, int]] = attrs.field(factory=list)
    """The values of min.insync.replicas, each with the end of the metadata by which it was committed."""
    logs: dict[str, GhostLog] = attrs.field(factory=dict)
    committed: list[GhostBatch] = attrs.field(factory=list)
    true_high_watermark: int = 0
    committed_in: dict[GhostBatch, int] = attrs.field(factory=dict)
    """The leader epoch in which a batch was committed or acknowledged first."""
    acknowledged: list[GhostBatch] = attrs.field(factory=list)
    """By acks=all."""
    read: dict[int, int] = attrs.field(factory=dict)
    """The offsets that consumers have read, each with the leader epoch of the record that was there first."""
    leaders: dict[int, str] = attrs.field(factory=dict)
    """Who became leader in which epoch."""
    leading: dict[str, int] = attrs.field(factory=dict)
    """Who believes to lead now, and in which epoch."""
    isr: dict[str, bf.IsrCommitted] = attrs.field(factory=dict)
    """The ISR as each leader has it."""
    proposed: dict[str, tuple[tuple[int, ...], int]] = attrs.field(factory=dict)
    """All that each leader asked for at one partition epoch."""
    forgotten: dict[int, Forgotten] = attrs.field(factory=dict)
    """Brokers that a leader asked into the ISR and does not count, though they may come into it."""
    compacted: int = 0
    unclean: bool = False
    """A leader was elected from outside: records may be gone by choice."""
    is_hollow: bool = False
    """Or one that may lack what was committed while its leader did not count it; that is unclean too."""

    def is_forgotten(self, member: int) -> bool:
        """May it lack what is committed, for its leader has not counted it? No more once it has caught up."""
        one = self.forgotten.get(member)
        log = self.logs.get(f"broker-{member}")
        if one is not None and one.is_counted and log is not None and log.end >= self.true_high_watermark:
            del self.forgotten[member]
            return False
        return one is not None

    def log(self, node: str) -> GhostLog:
        log = self.logs.get(node)
        if log is None:
            log = self.logs[node] = GhostLog(compacted=self.compacted)
        return log

    def min_isr(self, known: int) -> int:
        """The smallest value that whoever knows the metadata below an offset may go by."""
        in_force = max((i for i, (end, _) in enumerate(self.min_isrs) if end <= known), default=0)
        return min((value for _, value in self.min_isrs[in_force:]), default=1)

    @property
    def current_leader(self) -> str | None:
        """The leader whose epoch is the controller's, once it knows."""
        if self.registered is None:
            return None
        node = f"broker-{self.registered.leader}"
        return node if self.leading.get(node) == self.registered.leader_epoch else None


@attrs.define
class GhostQuorum:
    """The metadata quorum."""

    leaders: dict[int, str] = attrs.field(factory=dict)
    """Who leads in which epoch."""
    votes: dict[tuple[str, int], int] = attrs.field(factory=dict)
    """For whom a voter voted in an epoch."""
    epochs: dict[str, int] = attrs.field(factory=dict)
    epoch_before: int = 0
    """Of the node whose role has changed last."""
    high_watermarks: dict[str, int] = attrs.field(factory=dict)
    """Of each running node."""
    high_watermark_before: int = -1
    """Of the node whose high watermark moved last, as it was, if it leads in the same epoch as then."""
    leads_since: dict[str, int] = attrs.field(factory=dict)
    """The high watermark of each leader, since it leads."""
    voters: dict[str, tuple[int, ...]] = attrs.field(factory=dict)
    """As the log of each node has them, where it has a record of them."""
    active: dict[str, int] = attrs.field(factory=dict)
    """Controllers that believe to be active, and their epochs."""
    newest: int = 0
    """The largest epoch in which a controller was active."""
    vote_broken: str = ""
    """What is wrong with the last vote."""
    started: dict[str, None] = attrs.field(factory=dict)
    """Nodes of every kind whose process runs."""
    wiped: dict[str, None] = attrs.field(factory=dict)
    """Nodes whose disk was emptied, until they have all again that is committed."""

    @property
    def newest_voters(self) -> tuple[str, ...]:
        """As the newest leader has them."""
        leader = self.leaders[max(self.leaders)] if self.leaders else ""
        role = leader.rpartition("-")[0]
        return tuple(f"{role}-{voter}" for voter in self.voters.get(leader, ()))


class Ghosts:
    """Kept up to date fact by fact; ``running``: brokers that serve."""

    def __init__(self) -> None:
        self.partitions: dict[str, GhostPartition] = {}
        self.running: dict[str, None] = {}
        self.quorum = GhostQuorum()
        self.metadata = GhostPartition()
        """The metadata log, which has voters and observers instead of replicas."""
        self.groups = GroupGhosts()
        self.topic_ids: dict[str, str] = {}
        self.removed: dict[str, None] = {}
        """Names of topics that were deleted: a consumer may still hold records of them when the name is used again."""
        self.fenced: dict[int, None] = {}
        """Brokers that are fenced or not registered, as committed."""

    def of(self, log: str) -> GhostPartition:
        if log == METADATA:
            return self.metadata
        return self.partitions.setdefault(log, GhostPartition())

    def take(self, stated: Stated) -> None:
        handler = _HANDLERS.get(type(stated.fact))
        if handler is not None:
            handler(self, str(stated.node), stated.fact)
        else:
            self.groups.take(str(stated.node), stated.fact)

    # ---------------------------------------------------------------------------- handlers

    def _appended(self, node: str, fact: lf.RecordsAppended) -> None:
        log = self.of(fact.log).log(node)
        log.append(GhostBatch(fact.base_offset, fact.last_offset, fact.epoch, fact.crc))
        if fact.producer_id >= 0 and fact.base_sequence >= 0:
            last = (fact.base_sequence + fact.last_offset - fact.base_offset) & 0x7FFF_FFFF
            log.sequences.setdefault((fact.producer_id, fact.producer_epoch), []).append((fact.last_offset, last))

    def _loaded(self, node: str, fact: lf.LogLoaded) -> None:
        log = self.of(fact.log).log(node)
        kept = [GhostBatch(*batch) for batch in fact.batches]
        known = {batch.last for batch in kept}
        for key, written in log.sequences.items():
            log.sequences[key] = [entry for entry in written if entry[0] in known]
        log.batches, log.start, log.end = kept, fact.log_start_offset, fact.log_end_offset
        log.high_watermark, log.agreed = fact.high_watermark, fact.log_start_offset

    def _truncated(self, node: str, fact: lf.LogTruncated) -> None:
        self.of(fact.log).log(node).truncate(fact.to)

    def _replaced(self, node: str, fact: lf.LogReplaced) -> None:
        log = self.of(fact.log).log(node)
        log.batches.clear()
        log.sequences.clear()
        log.start = log.end = log.high_watermark = log.agreed = fact.at

    def _start_advanced(self, node: str, fact: lf.LogStartAdvanced) -> None:
        log = self.of(fact.log).log(node)
        log.start = fact.to
        log.agreed = max(log.agreed, fact.to)

    def _compacted(self, _: str, fact: lf.LogCompacted) -> None:
        partition = self.of(fact.log)
        partition.compacted = max(partition.compacted, fact.to)
        for log in partition.logs.values():
            log.compacted = partition.compacted
            log.agreed = max(log.agreed, partition.compacted)

    def _high_watermark(self, node: str, fact: bf.HighWatermarkMoved) -> None:
        partition = self.of(fact.log)
        log = partition.log(node)
        log.high_watermark = fact.to
        if fact.leads and fact.to > partition.true_high_watermark:
            known = partition.committed[-1].last + 1 if partition.committed else 0
            new = [b for b in log.from_offset(known) if b.last < fact.to]
            partition.committed += new
            for batch in new:
                partition.committed_in.setdefault(batch, partition.leading.get(node, 0))
            partition.true_high_watermark = fact.to

    def _acknowledged(self, node: str, fact: bf.RecordsAcknowledged) -> None:
        if fact.acks == -1:
            partition = self.of(fact.log)
            for batch in partition.log(node).from_offset(fact.base_offset):
                if batch.base == fact.base_offset:
                    partition.acknowledged.append(batch)
                    partition.committed_in.setdefault(batch, fact.leader_epoch)
                break

    def _read(self, _: str, fact: kf.RecordRead) -> None:
        if fact.topic not in self.removed:
            self.of(f"{fact.topic}-{fact.partition}").read.setdefault(fact.offset, fact.leader_epoch)

    def _became_leader(self, node: str, fact: bf.BecameLeader) -> None:
        partition = self.of(fact.log)
        partition.leaders.setdefault(fact.leader_epoch, node)
        partition.leading[node] = fact.leader_epoch
        if any(node == f"broker-{member}" and partition.is_forgotten(member) for member in list(partition.forgotten)):
            partition.unclean = partition.is_hollow = True

    def _became_follower(self, node: str, fact: bf.BecameFollower) -> None:
        partition = self.of(fact.log)
        partition.leading.pop(node, None)
        partition.isr.pop(node, None)

    def _proposed(self, node: str, fact: bf.IsrProposed) -> None:
        partition = self.of(fact.log)
        known = partition.isr.get(node)
        epoch = -1 if known is None else known.partition_epoch
        before, at = partition.proposed.get(node, ((), -1))
        partition.proposed[node] = ((*before, *fact.isr) if at == epoch else fact.isr, epoch)

    def _isr(self, node: str, fact: bf.IsrCommitted) -> None:
        partition = self.of(fact.log)
        partition.isr[node] = fact
        for member, one in list(partition.forgotten.items()):
            if fact.partition_epoch > one.partition_epoch and member in fact.maximal:
                partition.forgotten[member] = one._replace(is_counted=True)
            elif fact.partition_epoch > one.partition_epoch:
                del partition.forgotten[member]

    def _forgotten(self, node: str, fact: bf.IsrProposalForgotten) -> None:
        partition = self.of(fact.log)
        known = partition.isr.get(node)
        for member in fact.proposed:
            if known is None or member not in known.isr:
                partition.forgotten[member] = Forgotten(fact.partition_epoch)

    def _deleted(self, node: str, fact: bf.ReplicaDeleted) -> None:
        partition = self.of(fact.log)
        partition.logs.pop(node, None)
        partition.leading.pop(node, None)
        partition.isr.pop(node, None)

    def is_outdated(self, node: str) -> bool:
        """A controller that another one has taken over from may still state what was committed before."""
        return self.quorum.active.get(node, self.quorum.newest) < self.quorum.newest

    def _registered(self, node: str, fact: cf.PartitionRegistered) -> None:
        if not self.is_outdated(node):
            partition = self.of(f"{fact.topic}-{fact.partition}")
            partition.registered_before, partition.registered = partition.registered, fact
            if not partition.min_isrs or partition.min_isrs[-1][1] != fact.min_isr:
                partition.min_isrs.append((self.metadata.true_high_watermark, fact.min_isr))

    def _topic_registered(self, node: str, fact: cf.TopicRegistered) -> None:
        if not self.is_outdated(node):
            self.topic_ids[fact.topic] = fact.topic_id

    def _broker_committed(self, node: str, fact: cf.BrokerCommitted) -> None:
        if self.is_outdated(node):
            return
        if fact.fenced:
            self.fenced[fact.broker] = None
        else:
            self.fenced.pop(fact.broker, None)

    def _elected(self, _: str, fact: cf.LeaderElected) -> None:
        if fact.because.rule in (cf.UNCLEAN, cf.LAST_KNOWN):
            self.of(f"{fact.topic}-{fact.partition}").unclean = True

    def _topic_removed(self, _: str, fact: cf.TopicRemoved) -> None:
        if self.topic_ids.get(fact.topic) != fact.topic_id:
            return
        del self.topic_ids[fact.topic]
        self.removed[fact.topic] = None
        self.groups.forget_topic(fact.topic)
        for index in range(fact.partitions):
            self.partitions.pop(f"{fact.topic}-{index}", None)

    def _broker_state(self, node: str, fact: bf.BrokerStateChanged) -> None:
        if fact.state == "RUNNING":
            self.running[node] = None

    def _started(self, node: str, _: wf.NodeStarted) -> None:
        self.quorum.started[node] = None

    def _gone(self, node: str, _: object) -> None:
        self.running.pop(node, None)
        self.quorum.started.pop(node, None)
        self.quorum.high_watermarks.pop(node, None)
        self.quorum.active.pop(node, None)
        self.metadata.leading.pop(node, None)
        for partition in self.partitions.values():
            partition.leading.pop(node, None)
            partition.isr.pop(node, None)

    def _offline(self, node: str, fact: bf.ReplicaOffline) -> None:
        partition = self.of(fact.log)
        partition.leading.pop(node, None)
        partition.isr.pop(node, None)

    def _role(self, node: str, fact: qf.QuorumRoleChanged) -> None:
        quorum = self.quorum
        quorum.epoch_before = quorum.epochs.get(node, 0)
        quorum.epochs[node] = fact.epoch
        quorum.leads_since.pop(node, None)
        if fact.role == "Leader":
            quorum.leaders.setdefault(fact.epoch, node)
            self.metadata.leading[node] = fact.epoch
        else:
            self.metadata.leading.pop(node, None)

    def _vote(self, node: str, fact: qf.VoteAnswered) -> None:
        if fact.granted and not fact.pre_vote:
            first = self.quorum.votes.setdefault((node, fact.epoch), fact.candidate)
            broken = first != fact.candidate
            self.quorum.vote_broken = f"for {first} and for {fact.candidate} in epoch {fact.epoch}" if broken else ""

    def _quorum_high_watermark(self, node: str, fact: qf.QuorumHighWatermarkMoved) -> None:
        self.quorum.high_watermarks[node] = fact.to
        if fact.leads:
            self.quorum.high_watermark_before = self.quorum.leads_since.get(node, -1)
            self.quorum.leads_since[node] = fact.to
        partition = self.metadata
        partition.log(node).high_watermark = fact.to
        if fact.leads and fact.to > partition.true_high_watermark:
            known = partition.committed[-1].last + 1 if partition.committed else 0
            partition.committed += [b for b in partition.log(node).from_offset(known) if b.last < fact.to]
            partition.true_high_watermark = fact.to
        if node in self.quorum.wiped and partition.log(node).end >= partition.true_high_watermark:
            del self.quorum.wiped[node]

    def _voters(self, node: str, fact: qf.VotersChanged) -> None:
        self.quorum.voters[node] = fact.voters

    def _activated(self, node: str, fact: cf.ControllerActivated) -> None:
        self.quorum.active[node] = fact.epoch
        self.quorum.newest = max(self.quorum.newest, fact.epoch)

    def _renounced(self, node: str, _: qf.ControllerRenounced) -> None:
        self.quorum.active.pop(node, None)

    def _lost_power(self, node: str, fact: wf.PowerFailed) -> None:
        """An epoch or vote that did not reach the disk was never seen by anybody."""
        self.quorum.epochs.pop(node, None)
        self._gone(node, fact)

    def _wiped(self, node: str, _: wf.DiskWiped) -> None:
        self.quorum.epochs.pop(node, None)
        self.quorum.wiped[node] = None
        for partition in (self.metadata, *self.partitions.values()):
            partition.logs.pop(node, None)


_HANDLERS: dict[type, Callable[[Ghosts, str, Any], None]] = {
    lf.RecordsAppended: Ghosts._appended,
    lf.LogLoaded: Ghosts._loaded,
    lf.LogTruncated: Ghosts._truncated,
    lf.LogReplaced: Ghosts._replaced,
    lf.LogStartAdvanced: Ghosts._start_advanced,
    lf.LogCompacted: Ghosts._compacted,
    bf.HighWatermarkMoved: Ghosts._high_watermark,
    bf.RecordsAcknowledged: Ghosts._acknowledged,
    kf.RecordRead: Ghosts._read,
    bf.BecameLeader: Ghosts._became_leader,
    bf.BecameFollower: Ghosts._became_follower,
    bf.IsrProposed: Ghosts._proposed,
    bf.IsrCommitted: Ghosts._isr,
    bf.IsrProposalForgotten: Ghosts._forgotten,
    bf.ReplicaDeleted: Ghosts._deleted,
    bf.ReplicaOffline: Ghosts._offline,
    cf.PartitionRegistered: Ghosts._registered,
    cf.LeaderElected: Ghosts._elected,
    cf.TopicRegistered: Ghosts._topic_registered,
    cf.BrokerCommitted: Ghosts._broker_committed,
    cf.TopicRemoved: Ghosts._topic_removed,
    cf.ControllerActivated: Ghosts._activated,
    qf.QuorumRoleChanged: Ghosts._role,
    qf.VoteAnswered: Ghosts._vote,
    qf.QuorumHighWatermarkMoved: Ghosts._quorum_high_watermark,
    qf.VotersChanged: Ghosts._voters,
    qf.ControllerRenounced: Ghosts._renounced,
    bf.BrokerStateChanged: Ghosts._broker_state,
    wf.NodeStarted: Ghosts._started,
    wf.NodeKilled: Ghosts._gone,
    wf.NodeHalted: Ghosts._gone,
    wf.NodeStopped: Ghosts._gone,
    wf.PowerFailed: Ghosts._lost_power,
    wf.DiskWiped: Ghosts._wiped,
}
