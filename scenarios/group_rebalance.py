"""A second member joins an eager group, and dies: twice everything stops for a moment, and is shared anew."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=4)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given)
    await groups.until_stable(cluster, first)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    second = await groups.join(cluster, given)
    await cluster.advance(1.5)
    await groups.until_stable(cluster, first, second)
    await scenario.answers(sent)
    second.kill()
    await cluster.advance(8)
    await groups.until_stable(cluster, first)
    await groups.leave(first)


SCENARIO = Scenario(
    name="group-rebalance",
    summary="a member joins a group and dies: who reads which partitions, and what is committed",
    play=play,
    has_consumers=True,
    records=20,
    shape=groups.SHAPE,
)
