"""What must be true of the metadata quorum and its controllers after every fact, whatever fails.

As in ``cluster/invariants.py``; the letters are those of the public specifications of Raft in Kafka (R, K).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from kafsim.cluster.ghosts import METADATA, GhostBatch, Ghosts
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.facts import log as lf
from kafsim.protocol.facts import quorum as qf
from kafsim.protocol.facts import world as wf

Wrong = Iterator[str]


def election_safety(ghosts: Ghosts, node: str, fact: qf.QuorumRoleChanged) -> Wrong:
    """No two nodes lead the quorum in one epoch [R2, K4]."""
    first = ghosts.quorum.leaders.get(fact.epoch)
    if fact.role == "Leader" and first != node:
        yield f"{first} and {node} both lead the quorum in epoch {fact.epoch}"


def one_vote_per_epoch(ghosts: Ghosts, node: str, fact: qf.VoteAnswered) -> Wrong:
    """A voter votes for one candidate in an epoch, even when it was restarted in between."""
    if fact.granted and not fact.pre_vote and ghosts.quorum.vote_broken:
        yield f"{node} votes {ghosts.quorum.vote_broken}"


def quorum_leader_completeness(ghosts: Ghosts, node: str, fact: qf.QuorumRoleChanged) -> Wrong:
    """A new leader of the quorum has everything that was ever committed [R3]."""
    if fact.role != "Leader":
        return
    partition = ghosts.metadata
    log = partition.log(node)
    missing = next((batch for batch in reversed(partition.committed) if not log.holds(batch)), None)
    if missing is not None:
        yield f"{node} leads the quorum in epoch {fact.epoch} without the committed batch {missing}"


def quorum_durability(ghosts: Ghosts, _: str, fact: object) -> Wrong:
    """As long as a majority of the voters runs, one of them has the last that was committed [R4].

    What is before it a voter has too, by metadata-log-matching. A voter whose disk was emptied is no better than one
    that is away, until it has everything again.
    """
    partition, quorum = ghosts.metadata, ghosts.quorum
    if getattr(fact, "log", METADATA) != METADATA or not partition.committed:
        return
    voters = quorum.newest_voters
    run = [name for name in voters if name in quorum.started and name not in quorum.wiped]
    last = partition.committed[-1]
    if len(run) > len(voters) // 2 and not any(
        name in partition.logs and partition.logs[name].holds(last) for name in run
    ):
        yield f"the committed batch {last} is on none of {', '.join(run)}, which are a majority of the voters"


def metadata_log_matching(ghosts: Ghosts, node: str, fact: qf.QuorumHighWatermarkMoved) -> Wrong:
    """Below its high watermark every node, voter or not, has the metadata that is committed [R1, V5]."""
    partition = ghosts.metadata
    log = partition.log(node)
    first, bound = max(log.agreed, log.start), min(fact.to, partition.true_high_watermark)
    if bound <= first:
        return
    ours = [b for b in log.from_offset(first) if b.last < bound]
    index = bisect_left(partition.committed, first, key=lambda batch: batch.last)
    theirs = [b for b in partition.committed[index:] if b.last < bound]
    log.agreed = bound
    if ours != theirs:
        yield f"{node} has {_first(ours)} in the metadata where {_first(theirs)} is committed"


def _first(batches: list[GhostBatch]) -> str:
    return " ".join(map(str, batches[:3])) or "nothing"


def quorum_high_watermark_on_majority(ghosts: Ghosts, node: str, fact: qf.QuorumHighWatermarkMoved) -> Wrong:
    """What the leader takes for committed is in the logs of a majority of its voters [K3]."""
    if not fact.leads:
        return
    partition, role = ghosts.metadata, node.rpartition("-")[0]
    voters = [f"{role}-{voter}" for voter in ghosts.quorum.voters.get(node, ())]
    holders = [name for name in voters if name in partition.logs and partition.logs[name].end >= fact.to]
    if len(holders) <= len(voters) // 2:
        yield f"{node} takes offset {fact.to} for committed, and only {', '.join(holders)} have it"


def quorum_high_watermark_monotone(ghosts: Ghosts, node: str, fact: qf.QuorumHighWatermarkMoved) -> Wrong:
    """While a node leads, its high watermark never goes down [K1]."""
    if fact.leads and fact.to < ghosts.quorum.high_watermark_before:
        yield f"{node} leads the quorum and goes from {ghosts.quorum.high_watermark_before} back to {fact.to}"


def leader_takes_no_snapshot(ghosts: Ghosts, node: str, fact: qf.SnapshotTaken) -> Wrong:
    """Whoever leads has everything, and fetches no snapshot [K6]."""
    if fact.fetched and node in ghosts.metadata.leading:
        yield f"{node} leads the quorum and fetches the snapshot that ends at {fact.end_offset}"


def quorum_epoch_monotone(ghosts: Ghosts, node: str, fact: qf.QuorumRoleChanged) -> Wrong:
    """The epoch of a node never goes down, not even when it is restarted [K2]."""
    if ghosts.quorum.epoch_before > fact.epoch:
        yield f"{node} goes from epoch {ghosts.quorum.epoch_before} of the quorum back to {fact.epoch}"


def one_active_controller_per_epoch(ghosts: Ghosts, node: str, fact: cf.ControllerActivated) -> Wrong:
    """A controller is active in an epoch in which it leads the quorum, and nobody else is."""
    leader = ghosts.quorum.leaders.get(fact.epoch)
    if leader != node:
        yield f"{node} is active in epoch {fact.epoch}, which {leader or 'nobody'} leads"


def registrations_monotone(ghosts: Ghosts, node: str, fact: cf.PartitionRegistered) -> Wrong:
    """The newest controller never takes back what was committed, nor gives one partition epoch to two states."""
    if ghosts.is_outdated(node):
        return
    before = ghosts.of(f"{fact.topic}-{fact.partition}").registered_before
    if before is None:
        return
    name = f"{fact.topic}-{fact.partition}"
    if fact.partition_epoch < before.partition_epoch or fact.leader_epoch < before.leader_epoch:
        yield (
            f"{node} registers {name} with partition epoch {fact.partition_epoch} and leader epoch "
            f"{fact.leader_epoch} after {before.partition_epoch} and {before.leader_epoch}"
        )
    elif fact.partition_epoch == before.partition_epoch and _state(fact) != _state(before):
        yield f"{node} registers {name} with partition epoch {fact.partition_epoch} as {fact} after {before}"


def _state(fact: cf.PartitionRegistered) -> tuple[Any, ...]:
    return (fact.leader, fact.leader_epoch, fact.isr, fact.elr, fact.last_known_elr, fact.replicas)


_MAY_TAKE_METADATA = (
    lf.LogLoaded,
    lf.LogTruncated,
    lf.LogReplaced,
    qf.VotersChanged,
    qf.QuorumRoleChanged,
    wf.NodeKilled,
    wf.NodeHalted,
    wf.NodeStopped,
    wf.PowerFailed,
    wf.DiskWiped,
)
QUORUM_INVARIANTS: dict[str, tuple[Callable[[Ghosts, str, Any], Wrong], tuple[type, ...]]] = {
    "election-safety": (election_safety, (qf.QuorumRoleChanged,)),
    "one-vote-per-epoch": (one_vote_per_epoch, (qf.VoteAnswered,)),
    "quorum-leader-completeness": (quorum_leader_completeness, (qf.QuorumRoleChanged,)),
    "quorum-durability": (quorum_durability, _MAY_TAKE_METADATA),
    "metadata-log-matching": (metadata_log_matching, (qf.QuorumHighWatermarkMoved,)),
    "quorum-high-watermark-on-majority": (quorum_high_watermark_on_majority, (qf.QuorumHighWatermarkMoved,)),
    "quorum-high-watermark-monotone": (quorum_high_watermark_monotone, (qf.QuorumHighWatermarkMoved,)),
    "leader-takes-no-snapshot": (leader_takes_no_snapshot, (qf.SnapshotTaken,)),
    "quorum-epoch-monotone": (quorum_epoch_monotone, (qf.QuorumRoleChanged,)),
    "one-active-controller-per-epoch": (one_active_controller_per_epoch, (cf.ControllerActivated,)),
    "registrations-monotone": (registrations_monotone, (cf.PartitionRegistered,)),
}
