"""The same with cooperative rebalances: only what moves is given up, in two steps, and all else is read on."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario

STICKY = "cooperative-sticky"


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=4)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given, partition_assignment_strategy=STICKY)
    await groups.until_stable(cluster, first)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    second = await groups.join(cluster, given, partition_assignment_strategy=STICKY)
    await cluster.advance(3)
    await groups.until_stable(cluster, first, second)
    await scenario.answers(sent)
    await groups.leave(second)
    second.kill()
    await cluster.advance(3)
    await groups.until_stable(cluster, first)
    await groups.leave(first)


SCENARIO = Scenario(
    name="group-cooperative",
    summary="a cooperative group: only the partitions that move are given up (KIP-429)",
    play=play,
    has_consumers=True,
    records=20,
    shape=groups.SHAPE,
)
