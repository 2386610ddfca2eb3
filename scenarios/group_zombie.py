"""A member is paused beyond its session timeout: its partitions are another's, and its commit is refused."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given)
    second = await groups.join(cluster, given)
    await cluster.advance(2)
    await groups.until_stable(cluster, first, second)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    second.node.pause()
    await cluster.advance(9)
    second.node.resume()
    await cluster.advance(1)
    await groups.until_stable(cluster, first, second)
    await scenario.answers(sent)
    await cluster.advance(2)


SCENARIO = Scenario(
    name="group-zombie",
    summary="a member that sleeps beyond session.timeout.ms wakes up as nobody, and its commit is refused",
    play=play,
    has_consumers=True,
    records=20,
    shape=groups.SHAPE,
)
