"""A static member is restarted within its session timeout: the group does not notice (KIP-345)."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=4)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given, group_instance_id="billing-1")
    second = await groups.join(cluster, given, group_instance_id="billing-2")
    await cluster.advance(2)
    await groups.until_stable(cluster, first, second)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    second.kill()
    await cluster.advance(2)
    again = await groups.join(cluster, given, group_instance_id="billing-2")
    await groups.until_stable(cluster, first, again)
    await scenario.answers(sent)
    await cluster.advance(2)


SCENARIO = Scenario(
    name="group-static",
    summary="a static member restarts under its instance id, and no rebalance happens (KIP-345)",
    play=play,
    has_consumers=True,
    records=20,
    shape=groups.SHAPE,
)
