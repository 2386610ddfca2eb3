"""The consumer protocol: a partition goes from one member to the other step by step, and all else is read on."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=4)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given, group_protocol="consumer")
    await groups.until_stable(cluster, first)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    second = await groups.join(cluster, given, group_protocol="consumer")
    await cluster.advance(4)
    await groups.until_stable(cluster, first, second)
    await scenario.answers(sent)
    second.kill()
    await cluster.advance(10)
    await groups.until_stable(cluster, first)
    await groups.leave(first)


SCENARIO = Scenario(
    name="group-consumer",
    summary="a group of the consumer protocol: partitions are handed over epoch by epoch, without a stop (KIP-848)",
    play=play,
    has_consumers=True,
    records=20,
    shape=groups.SHAPE,
)
