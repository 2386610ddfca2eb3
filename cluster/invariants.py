"""What must be true after every fact, whatever fails: the safety of replication.

Each invariant is a function of the ghosts and one fact, called when a fact of its kinds was stated; it gives what is
wrong, or nothing. The letters in brackets are those of the public specifications of Kafka's replication (H: hachikuji's
models, V: Vanlightly's). Each one is shown to see, in ``tests/scenarios/test_safeguards.py``, by switching off the
safeguard that it watches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from kafsim.cluster.controller_invariants import CONTROLLER_INVARIANTS
from kafsim.cluster.ghosts import GhostBatch, GhostPartition, Ghosts
from kafsim.cluster.group_invariants import GROUP_INVARIANTS
from kafsim.cluster.quorum_invariants import QUORUM_INVARIANTS
from kafsim.cluster.world import Stated
from kafsim.protocol.facts import broker as bf
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import controller as cf
from kafsim.protocol.facts import log as lf
from kafsim.protocol.facts.fact import STATE

Wrong = Iterator[str]


@attrs.frozen
class Violation:
    """An invariant that did not hold after a fact."""

    invariant: str
    event: int
    time_us: int
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.time_us / 1e6:.6f} s (event {self.event}): {self.what}"


class InvariantViolated(AssertionError):
    """Raised when a run is told to stop at the first violation."""


def leader_completeness(ghosts: Ghosts, node: str, fact: bf.BecameLeader | bf.BrokerStateChanged) -> Wrong:
    """A leader that was elected cleanly and serves has everything that was ever committed [V1].

    A broker that starts again may believe for a moment that it still leads; nobody can reach it before it runs. One
    that was paused may learn late that it was elected; what was committed in later epochs it need not have.
    """
    for name, partition in _led(ghosts, node, fact):
        missing = _missing(partition, node, partition.committed)
        if missing is not None:
            yield f"{node} leads {name} in epoch {partition.leading[node]} without the committed batch {missing}"


def acked_records_durable(ghosts: Ghosts, node: str, fact: bf.BecameLeader | bf.BrokerStateChanged) -> Wrong:
    """A leader that was elected cleanly and serves has every record that acks=all was answered for [V1, V7]."""
    for name, partition in _led(ghosts, node, fact):
        missing = _missing(partition, node, partition.acknowledged)
        if missing is not None:
            yield f"{node} leads {name} in epoch {partition.leading[node]} without the acknowledged batch {missing}"


def _led(ghosts: Ghosts, node: str, fact: bf.BecameLeader | bf.BrokerStateChanged) -> list[tuple[str, GhostPartition]]:
    """The partitions that a broker leads from now on: it became leader, or it began to serve."""
    if node not in ghosts.running:
        return []
    if isinstance(fact, bf.BecameLeader):
        names = [fact.log]
    else:
        serves = fact.state == "RUNNING"
        names = [name for name, partition in ghosts.partitions.items() if serves and node in partition.leading]
    return [(name, ghosts.of(name)) for name in names if not ghosts.of(name).unclean]


def _missing(partition: GhostPartition, node: str, batches: list[GhostBatch]) -> GhostBatch | None:
    log, epoch, committed_in = partition.log(node), partition.leading[node], partition.committed_in
    return next((b for b in reversed(batches) if committed_in[b] <= epoch and not log.holds(b)), None)


def acked_on_min_isr(ghosts: Ghosts, node: str, fact: bf.RecordsAcknowledged) -> Wrong:
    """What acks=all is answered for is on as many disks as the min.insync.replicas that the leader can know."""
    partition = ghosts.of(fact.log)
    if fact.acks != -1 or partition.registered is None or not partition.acknowledged:
        return
    batch = partition.acknowledged[-1]
    if batch.base == fact.base_offset:
        holders = [name for name, log in partition.logs.items() if log.holds(batch)]
        if len(holders) < partition.min_isr(ghosts.quorum.high_watermarks.get(node, 0)):
            yield f"{batch} of {fact.log} is acknowledged and only on {', '.join(holders)}"


def consistent_read(ghosts: Ghosts, node: str, fact: kf.RecordRead | bf.BecameLeader | bf.BrokerStateChanged) -> Wrong:
    """What a consumer has read stays where it was, in the log of every current leader [V6].

    An offset is looked at when it is read, and all of them whenever somebody leads anew.
    """
    if isinstance(fact, kf.RecordRead):
        yield from _read_twice(ghosts, fact)
        return
    for name, partition in _led(ghosts, node, fact):
        if partition.current_leader == node:
            log = partition.log(node)
            first = max(log.start, partition.compacted)
            gone = [o for o, epoch in partition.read.items() if o >= first and log.epoch_at(o) != epoch]
            if gone:
                yield f"{node} leads {name} without what was read at {_texts(gone)}"


def _read_twice(ghosts: Ghosts, fact: kf.RecordRead) -> Wrong:
    name = f"{fact.topic}-{fact.partition}"
    partition = ghosts.of(name)
    before, leader = partition.read.get(fact.offset, fact.leader_epoch), partition.current_leader
    if partition.unclean or fact.topic in ghosts.removed:
        return
    if before != fact.leader_epoch:
        yield f"offset {fact.offset} of {name} is read with epoch {fact.leader_epoch}, and was with {before}"
    elif leader is not None:
        log = partition.log(leader)
        if fact.offset >= max(log.start, partition.compacted) and log.epoch_at(fact.offset) != fact.leader_epoch:
            yield f"offset {fact.offset} of {name} is read with epoch {fact.leader_epoch}, its leader {leader} lacks it"


def log_matching(ghosts: Ghosts, node: str, fact: bf.HighWatermarkMoved) -> Wrong:
    """Below their high watermarks all replicas hold the same batches [V4, K7]."""
    partition = ghosts.of(fact.log)
    log = partition.log(node)
    bound = min(fact.to, partition.true_high_watermark)
    if bound <= log.agreed or partition.unclean:
        return
    first = max(log.agreed, log.start, partition.compacted)
    ours = [b for b in log.from_offset(first) if b.last < bound]
    index = bisect_left(partition.committed, first, key=lambda batch: batch.last)
    theirs = [b for b in partition.committed[index:] if b.last < bound]
    log.agreed = bound
    if ours != theirs:
        yield f"{node} has {_texts(ours)} in {fact.log} where {_texts(theirs)} is committed"


def _texts(found: Sequence[GhostBatch | int]) -> str:
    return " ".join(map(str, found[:4])) or "nothing"


def strong_isr(ghosts: Ghosts, node: str, fact: bf.HighWatermarkMoved) -> Wrong:
    """Everything below a current leader's high watermark is on every member of the controller's ISR [H2].

    But for one that the leader has asked for and forgotten, as Kafka's does (``docs/isr.md``).
    """
    partition = ghosts.of(fact.log)
    if not fact.leads or partition.current_leader != node or partition.registered is None:
        return
    for member in partition.registered.isr:
        if partition.is_forgotten(member):
            continue
        log = partition.logs.get(f"broker-{member}")
        if log is None or log.end < fact.to:
            end = 0 if log is None else log.end
            yield f"{node} moves the high watermark of {fact.log} to {fact.to}; broker {member} of the ISR is at {end}"


def candidate_completeness(ghosts: Ghosts, _: str, fact: cf.PartitionRegistered | bf.BrokerStateChanged) -> Wrong:
    """Whoever may be elected cleanly, in ISR or ELR, and serves, has everything below the true high watermark [V2]."""
    if isinstance(fact, bf.BrokerStateChanged):
        names = list(ghosts.partitions) if fact.state == "RUNNING" else []
    else:
        names = [f"{fact.topic}-{fact.partition}"]
    for name in names:
        partition = ghosts.of(name)
        registered = partition.registered
        for member in (*registered.isr, *registered.elr) if registered is not None and not partition.unclean else ():
            log = partition.logs.get(f"broker-{member}")
            running = f"broker-{member}" in ghosts.running
            if log is None or not running or partition.is_forgotten(member):
                continue
            if log.end < partition.true_high_watermark:
                committed = partition.true_high_watermark
                yield f"broker {member} may lead {name} and ends at {log.end}, committed is {committed}"


def isr_superset(ghosts: Ghosts, _: str, fact: bf.IsrCommitted | cf.PartitionRegistered) -> Wrong:
    """A current leader counts everybody whom the controller has in the ISR, or has asked for them [V3].

    Kafka's leader forgets a proposal in flight when metadata of the partition epoch that it knows already arrives; the
    replica that was to join still counts for the high watermark then, by being caught up.
    """
    name = fact.log if isinstance(fact, bf.IsrCommitted) else f"{fact.topic}-{fact.partition}"
    partition = ghosts.of(name)
    leader, registered = partition.current_leader, partition.registered
    if leader is None or registered is None or leader not in partition.isr:
        return
    maximal: tuple[int, ...] = partition.isr[leader].maximal
    proposed, epoch = partition.proposed.get(leader, ((), -1))
    if epoch == partition.isr[leader].partition_epoch:
        maximal += proposed
    outside = [member for member in registered.isr if member not in maximal]
    if outside:
        yield f"the controller has {outside} in the ISR of {name}, its leader {leader} counts only {list(maximal)}"


def one_leader_per_epoch(ghosts: Ghosts, node: str, fact: bf.BecameLeader) -> Wrong:
    """No two brokers lead one partition in one epoch [R2]."""
    first = ghosts.of(fact.log).leaders[fact.leader_epoch]
    if first != node:
        yield f"{first} and {node} both lead {fact.log} in epoch {fact.leader_epoch}"


def high_watermark_monotone(_: Ghosts, node: str, fact: bf.HighWatermarkMoved) -> Wrong:
    """A leader's high watermark never goes down [K1]."""
    if fact.leads and fact.to < fact.was:
        yield f"{node} leads {fact.log} and lowers its high watermark from {fact.was} to {fact.to}"


def idempotence(ghosts: Ghosts, node: str, fact: lf.RecordsAppended) -> Wrong:
    """The sequences of a producer id and epoch follow each other in every log: no duplicate, no reordering."""
    written = ghosts.of(fact.log).log(node).sequences.get((fact.producer_id, fact.producer_epoch), [])
    if fact.producer_id < 0 or fact.base_sequence < 0 or len(written) < 2:
        return
    before = written[-2][1]
    if fact.base_sequence not in (before + 1, 0 if before == 0x7FFF_FFFF else before + 1):
        what = "again" if fact.base_sequence <= before else "after a gap"
        yield (
            f"{node} writes sequence {fact.base_sequence} of producer {fact.producer_id} epoch {fact.producer_epoch} "
            f"{what} at offset {fact.base_offset} of {fact.log}; the last one was {before}"
        )


INVARIANTS: dict[str, tuple[Callable[[Ghosts, str, Any], Wrong], tuple[type, ...]]] = {
    "leader-completeness": (leader_completeness, (bf.BecameLeader, bf.BrokerStateChanged)),
    "acked-records-durable": (acked_records_durable, (bf.BecameLeader, bf.BrokerStateChanged)),
    "acked-on-min-isr": (acked_on_min_isr, (bf.RecordsAcknowledged,)),
    "consistent-read": (consistent_read, (kf.RecordRead, bf.BecameLeader, bf.BrokerStateChanged)),
    "log-matching": (log_matching, (bf.HighWatermarkMoved,)),
    "strong-isr": (strong_isr, (bf.HighWatermarkMoved,)),
    "candidate-completeness": (candidate_completeness, (cf.PartitionRegistered, bf.BrokerStateChanged)),
    "isr-superset": (isr_superset, (bf.IsrCommitted, cf.PartitionRegistered)),
    "one-leader-per-epoch": (one_leader_per_epoch, (bf.BecameLeader,)),
    "high-watermark-monotone": (high_watermark_monotone, (bf.HighWatermarkMoved,)),
    "idempotence": (idempotence, (lf.RecordsAppended,)),
    **CONTROLLER_INVARIANTS,
    **QUORUM_INVARIANTS,
    **GROUP_INVARIANTS,
}


class Monitor:
    """Listens to a run and keeps the violations; the first one of each invariant is the one to read."""

    level = STATE

    def __init__(self, *, stop: bool = False) -> None:
        self.ghosts = Ghosts()
        self.violations: list[Violation] = []
        self._stop = stop
        self._by_kind: dict[type, list[tuple[str, Callable[[Ghosts, str, Any], Wrong]]]] = {}
        for name, (check, kinds) in INVARIANTS.items():
            for kind in kinds:
                self._by_kind.setdefault(kind, []).append((name, check))

    def on_fact(self, stated: Stated) -> None:
        self.ghosts.take(stated)
        for name, check in self._by_kind.get(type(stated.fact), ()):
            for what in check(self.ghosts, str(stated.node), stated.fact):
                violation = Violation(name, stated.event, stated.time, what)
                self.violations.append(violation)
                if self._stop:
                    raise InvariantViolated(str(violation))
