"""What must be true of the controller's state after every committed change, whatever fails (V8 to V10).

As in ``cluster/invariants.py``. What a controller that has been taken over from still states is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kafsim.cluster.ghosts import Ghosts
from kafsim.protocol.facts import controller as cf

Wrong = Iterator[str]


def isr_and_elr_valid(ghosts: Ghosts, node: str, fact: cf.PartitionRegistered) -> Wrong:
    """ISR and ELR are replicas, nobody is in both, and with min.insync.replicas in sync there is no ELR [V9].

    The last is settled with every change of the partition, by the replicas before it, not with a change of the
    configuration. A reassignment may leave a replica in the ELR that it takes away, as in Kafka 4.3, which counts the
    members of the old ISR without asking whether they are replicas still (``PartitionChangeBuilder``).
    """
    if ghosts.is_outdated(node):
        return
    name = f"{fact.topic}-{fact.partition}"
    before = ghosts.of(name).registered_before
    left = () if before is None else (*before.isr, *before.elr)
    strangers = [member for member in fact.isr if member not in fact.replicas]
    strangers += [member for member in fact.elr if member not in (*fact.replicas, *left)]
    both = [member for member in fact.elr if member in fact.isr]
    if strangers:
        yield f"{name} has {strangers} in ISR {list(fact.isr)} or ELR {list(fact.elr)}, and not among its replicas"
    if both:
        yield f"{name} has {both} in its ISR and in its ELR"
    is_change = before is not None and fact.partition_epoch > before.partition_epoch
    if before is not None and is_change and fact.elr and len(fact.isr) >= max(fact.min_isr, before.min_isr):
        yield f"{name} has the ELR {list(fact.elr)} with {len(fact.isr)} in sync, {fact.min_isr} are enough"


def recovery_leader_known(ghosts: Ghosts, node: str, fact: cf.PartitionRegistered) -> Wrong:
    """A partition that loses the last of ISR and ELR by an unclean shutdown keeps the last known leader [V8].

    A change of min.insync.replicas forgets it.
    """
    before = ghosts.of(f"{fact.topic}-{fact.partition}").registered_before
    if ghosts.is_outdated(node) or before is None or before.min_isr != fact.min_isr:
        return
    had, has = before.isr or before.elr, fact.isr or fact.elr
    if had and not has and not fact.last_known_elr:
        yield f"{fact.topic}-{fact.partition} has no ISR, no ELR and no last known leader"


def fenced_not_in_sync(ghosts: Ghosts, node: str, fact: cf.PartitionRegistered | cf.BrokerCommitted) -> Wrong:
    """No fenced broker is in an ISR, unless it is the last one there [V10]."""
    if ghosts.is_outdated(node):
        return
    if isinstance(fact, cf.PartitionRegistered):
        before = ghosts.of(f"{fact.topic}-{fact.partition}").registered_before
        known = () if before is None else before.isr
        wrong = [member for member in fact.isr if member in ghosts.fenced and member not in known]
        if wrong and len(fact.isr) > 1:
            yield f"{fact.topic}-{fact.partition} takes the fenced {wrong} into its ISR {list(fact.isr)}"
    elif fact.fenced:
        for name, partition in ghosts.partitions.items():
            registered = partition.registered
            if registered is not None and fact.broker in registered.isr and len(registered.isr) > 1:
                yield f"{name} has broker {fact.broker}, which is fenced, in its ISR {list(registered.isr)}"


CONTROLLER_INVARIANTS: dict[str, tuple[Callable[[Ghosts, str, Any], Wrong], tuple[type, ...]]] = {
    "isr-and-elr-valid": (isr_and_elr_valid, (cf.PartitionRegistered,)),
    "recovery-leader-known": (recovery_leader_known, (cf.PartitionRegistered,)),
    "fenced-not-in-sync": (fenced_not_in_sync, (cf.PartitionRegistered, cf.BrokerCommitted)),
}
