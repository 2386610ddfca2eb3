"""Groups of both protocols: a rebalance of a large one, and a larger one that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench.cluster import plain
from bench.measure import Case
from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.handles import ConsumerHandle
from kafsim.scenarios import groups
from kafsim.scenarios.simulation import groups_have_converged

SHAPE = ClusterShape(configs={"offsets.topic.num.partitions": 1, "group.initial.rebalance.delay.ms": 3_000})
SETTINGS: dict[str, object] = {"group.id": "g", "auto.offset.reset": "earliest"}
CONSUMER: dict[str, object] = {"group.protocol": "consumer"}


def cases() -> list[Case]:
    return [
        Case("rebalance of 100 members, 1,000 partitions, direct + share", plain(rebalance, *HOW), rebalance_seconds),
        Case("the same by the consumer protocol", plain(rebalance_consumer, *HOW), rebalance_seconds),
        Case("idle group of 1,000 members, direct + share", plain(idle_group, *HOW), group_seconds),
        Case("the same of the consumer protocol", plain(idle_consumer_group, *HOW), group_seconds),
    ]


HOW = ("direct", "share", SHAPE)


async def members(cluster: Cluster, count: int, partitions: int, **settings: object) -> list[ConsumerHandle]:
    """All of them with their assignment."""
    await cluster.admin.create_topic("orders", partitions=partitions, replication_factor=1)
    found = [await member(cluster, settings) for _ in range(count)]
    await groups.until_stable(cluster, *found)
    return found


async def member(cluster: Cluster, settings: Mapping[str, object]) -> ConsumerHandle:
    consumer = cluster.consumer({**SETTINGS, **settings})
    await consumer.subscribe(["orders"])
    groups.keep_polling(cluster, consumer, every_ms=5_000)
    return consumer


async def rebalance(cluster: Cluster, **settings: object) -> dict[str, float]:
    """One more joins: from then until everybody has its assignment and its positions."""
    found = await members(cluster, 99, 1_000, **settings)
    await cluster.advance(5)
    begin, since = time.process_time(), cluster.world.clock.now
    found.append(await member(cluster, settings))
    while not groups_have_converged(cluster):
        await cluster.advance(1)
    return {"rebalance_cpu": time.process_time() - begin, "took": (cluster.world.clock.now - since) / 1e6}


async def rebalance_consumer(cluster: Cluster) -> dict[str, float]:
    """Everybody gives up a little, with its next heartbeat."""
    return await rebalance(cluster, **CONSUMER)


async def idle_consumer_group(cluster: Cluster) -> dict[str, float]:
    """Heartbeats every five seconds."""
    return await idle_group(cluster, **CONSUMER)


async def idle_group(cluster: Cluster, **settings: object) -> dict[str, float]:
    """Heartbeats every three seconds, and fetches that find nothing."""
    await members(cluster, 1_000, 1_000, **settings)
    await cluster.advance(5)
    begin = time.process_time()
    await cluster.advance(20)
    return {"idle_cpu": time.process_time() - begin, "idle_virtual": 20}


def rebalance_seconds(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"CPU seconds": counts["rebalance_cpu"], "virtual seconds": counts["took"]}


def group_seconds(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"ms CPU per virtual second": counts["idle_cpu"] / counts["idle_virtual"] * 1e3}
