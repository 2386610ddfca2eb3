"""What must be true of consumer groups after every fact, whatever fails; as in ``cluster/invariants.py``.

What is looked at is what the coordinators and the consumers state; a group's facts come in the order of its log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kafsim.cluster.ghosts import Ghosts
from kafsim.protocol.facts import client as kf
from kafsim.protocol.facts import group as gf

Wrong = Iterator[str]


def one_owner_per_generation(ghosts: Ghosts, node: str, fact: kf.PartitionsAssigned | gf.AssignmentStored) -> Wrong:
    """In one generation of a classic group no two members have one partition."""
    if isinstance(fact, gf.AssignmentStored):
        owners: dict[str, str] = {}
        for member, partitions in fact.assigned:
            for name in partitions:
                if owners.setdefault(name, member) != member:
                    yield f"generation {fact.generation} of {fact.group} gives {name} to {owners[name]} and to {member}"
        return
    group = ghosts.groups.get(fact.group)
    for name in fact.assigned if group is None or not group.is_consumer else ():
        owner = None if group is None else group.owners.get((fact.generation, name))
        if owner not in (None, fact.member):
            yield f"{node} and {owner} both have {name} in generation {fact.generation} of {fact.group}"


def commits_of_the_generation(ghosts: Ghosts, node: str, fact: gf.OffsetsCommitted) -> Wrong:
    """A member commits in the generation whose assignment was committed last."""
    group = ghosts.groups.told_by(node, fact.group)
    if group is not None and group.is_consumer:
        return
    if fact.generation >= 0 and group is not None and fact.generation != group.generation:
        yield f"{fact.member} commits in generation {fact.generation} of {fact.group}, it is in {group.generation}"


def commits_of_the_epoch(ghosts: Ghosts, node: str, fact: gf.OffsetsCommitted) -> Wrong:
    """A member of a consumer group commits in its epoch, or in an older one what it has had since (KIP-1251)."""
    group = ghosts.groups.told_by(node, fact.group)
    if group is None or not group.is_consumer or fact.generation < 0:
        return
    member = group.members.get(fact.member)
    if member is None:
        yield f"{fact.member} commits in epoch {fact.generation} and is no member of {fact.group}"
    elif fact.generation > member.epoch:
        yield f"{fact.member} of {fact.group} commits in epoch {fact.generation} and is in {member.epoch}"
    elif fact.generation < member.epoch:
        for name, _offset in fact.offsets:
            if name not in member.partitions:
                yield f"{fact.member} of {fact.group} commits {name} in epoch {fact.generation}, and does not have it"


def one_owner_across_epochs(ghosts: Ghosts, node: str, fact: gf.MemberReconciled | kf.PartitionsAssigned) -> Wrong:
    """Nobody gets a partition of a consumer group before the one that had it has given it up, or is gone.

    A consumer that does not know yet that it is no member any more may do what it likes; its commits are refused.
    """
    is_of_member = isinstance(fact, kf.PartitionsAssigned)
    group = ghosts.groups.get(fact.group) if is_of_member else ghosts.groups.told_by(node, fact.group)
    if group is None or not group.is_consumer:
        return
    if isinstance(fact, kf.PartitionsAssigned):
        for name in fact.assigned if fact.member in group.members else ():
            member, other = group.holders.get(name, (fact.member, node))
            if member != fact.member and member in group.members:
                yield f"{node} gets {name} of {fact.group} in epoch {fact.generation}, and {other} reads it still"
        return
    for name in (*fact.assigned, *fact.pending):
        id_ = group.given.get(name, fact.member)
        if id_ != fact.member:
            yield f"{fact.member} gets {name} of {fact.group} in epoch {fact.epoch}, and {id_} has not given it up"


def member_epochs_monotone(ghosts: Ghosts, node: str, fact: gf.MemberReconciled) -> Wrong:
    """The epoch of a member only grows, but for a static one that leaves for a while."""
    group = ghosts.groups.told_by(node, fact.group)
    member = None if group is None else group.members.get(fact.member)
    if member is not None and 0 <= fact.epoch < member.previous:
        yield f"{fact.member} of {fact.group} comes to epoch {fact.epoch} from {member.previous}"


def positions_within_the_log(ghosts: Ghosts, node: str, fact: kf.PositionsTaken) -> Wrong:
    """A consumer that commits where it has come to commits nothing above the high watermark."""
    for name, offset in fact.positions:
        partition = ghosts.partitions.get(name)
        if partition is not None and not partition.unclean and offset > partition.true_high_watermark:
            bound = partition.true_high_watermark
            yield f"{node} is to commit offset {offset} of {name}, whose high watermark was never above {bound}"


GROUP_INVARIANTS: dict[str, tuple[Callable[[Ghosts, str, Any], Wrong], tuple[type, ...]]] = {
    "one-owner-per-generation": (one_owner_per_generation, (kf.PartitionsAssigned, gf.AssignmentStored)),
    "commits-of-the-generation": (commits_of_the_generation, (gf.OffsetsCommitted,)),
    "commits-of-the-epoch": (commits_of_the_epoch, (gf.OffsetsCommitted,)),
    "one-owner-across-epochs": (one_owner_across_epochs, (gf.MemberReconciled, kf.PartitionsAssigned)),
    "member-epochs-monotone": (member_epochs_monotone, (gf.MemberReconciled,)),
    "positions-within-the-log": (positions_within_the_log, (kf.PositionsTaken,)),
}
