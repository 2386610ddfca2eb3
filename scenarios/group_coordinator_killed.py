"""The coordinator of a group is killed: the next one knows generation, members and offsets from the log."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=4)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given)
    second = await groups.join(cluster, given)
    await cluster.advance(2)
    await groups.until_stable(cluster, first, second)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    cluster.kill(f"coordinator:{groups.GROUP}")
    await cluster.advance(8)
    await groups.until_stable(cluster, first, second)
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="group-coordinator-killed",
    summary="the broker that coordinates a group is killed; the group goes on without a rebalance",
    play=play,
    has_consumers=True,
    records=40,
    shape=groups.SHAPE,
)
