"""The power of all brokers fails at once, a minute after the last record: the kernels have written it back."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=3)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    await scenario.answers(await scenario.send_all(cluster, producer, given.records))
    await cluster.advance(60)
    for broker in cluster.brokers:
        cluster.power_failure(broker)
    await cluster.advance(15)
    for broker in cluster.brokers:
        cluster.restart(broker)


SCENARIO = Scenario(
    name="power-failure-written-back",
    summary="as power-failure-all, a minute later: the kernels have written the page cache back, nothing is lost",
    play=play,
)
