"""Classic groups: a rebalance of a large one, and a larger one that has nothing to do."""

from __future__ import annotations

import time

from bench.cluster import plain
from bench.measure import Case
from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.handles import ConsumerHandle
from kafsim.scenarios import groups

SHAPE = ClusterShape(configs={"offsets.topic.num.partitions": 1, "group.initial.rebalance.delay.ms": 3_000})
SETTINGS = {"group.id": "g", "auto.offset.reset": "earliest", "session.timeout.ms": 45_000}


def cases() -> list[Case]:
    return [
        Case("rebalance of 100 members, 1,000 partitions, direct + share", plain(rebalance, *HOW), rebalance_seconds),
        Case("idle group of 1,000 members, direct + share", plain(idle_group, *HOW), group_seconds),
    ]


HOW = ("direct", "share", SHAPE)


async def members(cluster: Cluster, count: int, partitions: int) -> list[ConsumerHandle]:
    """All of them with their assignment."""
    await cluster.admin.create_topic("orders", partitions=partitions, replication_factor=1)
    found = [await member(cluster) for _ in range(count)]
    await groups.until_stable(cluster, *found)
    return found


async def member(cluster: Cluster) -> ConsumerHandle:
    consumer = cluster.consumer(SETTINGS)
    await consumer.subscribe(["orders"])
    groups.keep_polling(cluster, consumer, every_ms=5_000)
    return consumer


async def rebalance(cluster: Cluster) -> dict[str, float]:
    """One more joins: from then until everybody has its assignment and its positions."""
    found = await members(cluster, 99, 1_000)
    await cluster.advance(5)
    begin, since = time.process_time(), cluster.world.clock.now
    found.append(await member(cluster))
    await cluster.advance(4)
    await groups.until_stable(cluster, *found)
    return {"rebalance_cpu": time.process_time() - begin, "took": (cluster.world.clock.now - since) / 1e6}


async def idle_group(cluster: Cluster) -> dict[str, float]:
    """Heartbeats every three seconds, and fetches that find nothing."""
    await members(cluster, 1_000, 1_000)
    await cluster.advance(5)
    begin = time.process_time()
    await cluster.advance(20)
    return {"idle_cpu": time.process_time() - begin, "idle_virtual": 20}


def rebalance_seconds(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"CPU seconds": counts["rebalance_cpu"], "virtual seconds": counts["took"]}


def group_seconds(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"ms CPU per virtual second": counts["idle_cpu"] / counts["idle_virtual"] * 1e3}
