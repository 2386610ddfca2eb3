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
    """In one generation of a group no two members have one partition."""
    if isinstance(fact, gf.AssignmentStored):
        owners: dict[str, str] = {}
        for member, partitions in fact.assigned:
            for name in partitions:
                if owners.setdefault(name, member) != member:
                    yield f"generation {fact.generation} of {fact.group} gives {name} to {owners[name]} and to {member}"
        return
    group = ghosts.groups.get(fact.group)
    for name in fact.assigned:
        owner = None if group is None else group.owners.get((fact.generation, name))
        if owner not in (None, fact.member):
            yield f"{node} and {owner} both have {name} in generation {fact.generation} of {fact.group}"


def commits_of_the_generation(ghosts: Ghosts, _: str, fact: gf.OffsetsCommitted) -> Wrong:
    """A member commits in the generation whose assignment was committed last."""
    group = ghosts.groups.get(fact.group)
    if fact.generation >= 0 and group is not None and fact.generation != group.generation:
        yield f"{fact.member} commits in generation {fact.generation} of {fact.group}, it is in {group.generation}"


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
    "positions-within-the-log": (positions_within_the_log, (kf.PositionsTaken,)),
}
