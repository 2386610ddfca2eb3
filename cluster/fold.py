"""The state of a cluster folded from its facts must be the state of its cores.

The ghosts are that fold; here they are held against every running core.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kafsim.broker.broker import Broker
from kafsim.broker.partition import Partition
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.ghosts import GhostBatch, GhostPartition, Ghosts
from kafsim.coordinator.classic_group import EMPTY, STABLE, ClassicGroup
from kafsim.coordinator.consumer_group import ConsumerGroup
from kafsim.coordinator.shard import GroupShard, OffsetAndMetadata, OffsetKey
from kafsim.protocol.uuid import ZERO_UUID


def differences(cluster: Cluster, ghosts: Ghosts) -> list[str]:
    """Where the facts and the cores disagree; nothing when they agree."""
    return [*_controller(cluster, ghosts), *_quorum(cluster), *_brokers(cluster, ghosts), *_coordinators(cluster)]


def _coordinators(cluster: Cluster) -> Iterator[str]:
    """What a coordinator has is what the next one will read from the log."""
    for id_ in cluster.brokers:
        core = cluster.core(id_)
        for coordinator in () if core is None else core.groups.coordinators.values():
            shard = coordinator.shard
            if not shard.is_active:
                continue
            fresh = shard.reloaded()
            if _offsets(fresh) != _offsets(shard):
                yield f"broker {id_} has the offsets {shard.offsets.items()}, its log says {fresh.offsets.items()}"
            for name in dict.fromkeys((*shard.groups, *fresh.groups)):
                ours, theirs = shard.groups.get(name), fresh.groups.get(name)
                if name in shard.undone:
                    continue
                if ours is None or theirs is None:
                    yield f"broker {id_}: group {name} is {'not there' if ours is None else 'not in the log'}"
                elif (ours.state in (EMPTY, STABLE) or isinstance(ours, ConsumerGroup)) and _members(ours) != _members(
                    theirs
                ):
                    yield f"broker {id_} has group {name} as {_members(ours)}, its log says {_members(theirs)}"


def _offsets(shard: GroupShard) -> dict[OffsetKey, OffsetAndMetadata]:
    """A record with a time to expire does not tell the id of its topic."""
    every = shard.offsets.items()
    return {key: one if one.expires_ms < 0 else attrs.evolve(one, topic_id=ZERO_UUID) for key, one in every}


def _members(group: ClassicGroup | ConsumerGroup) -> tuple[object, ...]:
    if isinstance(group, ConsumerGroup):
        tables = (group.members, group.targets, group.numbers, group.regexes)
        return tuple(sorted(table.items()) for table in tables)
    members = sorted((m.id, m.instance, m.assignment) for m in group.members.values())
    return (group.state, group.generation, group.protocol, group.leader, members)


def _quorum(cluster: Cluster) -> Iterator[str]:
    """Where a log of the quorum was cut a snapshot ends, and a controller that stands by owes no answer [K5, R5]."""
    for id_, node in cluster.controllers.items():
        core = cluster.controller_of(id_)
        if core is None:
            continue
        log = core.raft.log
        earliest = log.snapshots[0].offset if log.snapshots else None
        if log.start_offset and (earliest is None or earliest != log.start_offset):
            yield f"{node.address}: the metadata begins at {log.start_offset}, the first snapshot ends at {earliest}"
        if core.owes_answers and not core.is_active:
            yield f"{node.address} is not active and owes answers"


def _controller(cluster: Cluster, ghosts: Ghosts) -> Iterator[str]:
    core = cluster.controller_core
    if core is None or not core.is_active or len(core.state.journal):
        return
    for (topic_id, index), state in core.state.partitions.items():
        name = f"{core.state.topic_names[topic_id]}-{index}"
        known = ghosts.of(name).registered
        ours = (state.leader, state.leader_epoch, state.partition_epoch, state.isr, state.elr, state.last_known_elr)
        if known is None:
            yield f"{name} is registered, and no fact says so"
            continue
        theirs = (
            known.leader,
            known.leader_epoch,
            known.partition_epoch,
            known.isr,
            known.elr,
            known.last_known_elr,
        )
        if ours != theirs:
            yield f"{name}: the controller has {ours}, the facts say {theirs}"


def _brokers(cluster: Cluster, ghosts: Ghosts) -> Iterator[str]:
    for id_, node in cluster.brokers.items():
        core = cluster.core(id_)
        if core is None:
            continue
        for partition in core.replicas.by_key.values():
            yield from _replica(str(node.address), partition, ghosts.of(partition.name))
            yield from _fetchers(str(node.address), core, partition)


def _fetchers(node: str, core: Broker, partition: Partition) -> Iterator[str]:
    """A leader copies from nobody, a follower from one broker at most [V11]."""
    leaders = [leader for leader, fetcher in core.replicas.fetchers.items() if fetcher.holds(partition)]
    most = 0 if partition.leader is not None else 1
    if len(leaders) > most:
        yield f"{node} copies {partition.name} from {leaders}, and {'leads it' if not most else 'should from one'}"


def _replica(node: str, partition: Partition, ghost: GhostPartition) -> Iterator[str]:
    log, known = partition.log, ghost.log(node)
    ours = (log.log_start_offset, log.log_end_offset, log.high_watermark)
    theirs = (known.start, known.end, known.high_watermark)
    if ours != theirs:
        yield f"{node} {partition.name}: start, end and high watermark are {ours}, the facts say {theirs}"
    batches = [
        GhostBatch(p.base_offset, p.last_offset, p.leader_epoch, p.crc)
        for segment in log.segments
        for p in segment.batches
        if p.last_offset >= ghost.compacted
    ]
    kept = [b for b in known.batches if b.base >= log.segments[0].base_offset and b.last >= ghost.compacted]
    if batches != kept:
        yield f"{node} {partition.name}: the log has {len(batches)} batches, the facts say {len(kept)}"
    leads = ghost.leading.get(node) == partition.leader_epoch
    if leads != (partition.leader is not None):
        yield f"{node} {partition.name}: leads {partition.leader is not None}, the facts say {leads}"
